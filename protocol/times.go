package protocol

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/backend"
	"sluice/protocol/wire"
)

// mdtm is RFC 3659 3. Old clients set the time with it: MDTM YYYYMMDDhhmmss path, unless there is a file of all that name.
func (s *session) mdtm(ctx context.Context, arg string) (wire.Reply, error) {
	info, err := s.file(ctx, arg)
	if errors.Is(err, backend.ErrNotExist) {
		if when, name, bad := cutTime(arg); bad == nil {
			return s.touch(ctx, "", name, when)
		}
	}
	if err != nil {
		return wire.Reply{}, err
	}
	return reply(213, wire.FormatTime(info.ModTime)), nil
}

// mfmt is draft-somers-ftp-mfxx-04 3.
func (s *session) mfmt(ctx context.Context, arg string) (wire.Reply, error) {
	when, name, err := cutTime(arg)
	if err != nil {
		return wire.Reply{}, err
	}
	return s.touch(ctx, "Modify=", name, when)
}

// mfct is draft-somers-ftp-mfxx-04 4.
func (s *session) mfct(ctx context.Context, arg string) (wire.Reply, error) {
	when, name, err := cutTime(arg)
	if err != nil {
		return wire.Reply{}, err
	}
	if err := s.account.FS.SetTimes(ctx, s.path(name), time.Time{}, when); err != nil {
		return wire.Reply{}, err
	}
	return reply(213, "Create="+wire.FormatTime(when)+"; "+name), nil
}

// mff sets facts: the two times (draft-somers-ftp-mfxx-04 5).
func (s *session) mff(ctx context.Context, arg string) (wire.Reply, error) {
	facts, name, ok := strings.Cut(arg, " ")
	list, closed := strings.CutSuffix(facts, ";")
	if !ok || !closed || name == "" {
		return wire.Reply{}, wire.ErrArgument
	}
	var done string
	var modified, created time.Time
	for fact := range strings.SplitSeq(list, ";") {
		key, value, _ := strings.Cut(fact, "=")
		when, label := &modified, "Modify="
		switch {
		case strings.EqualFold(key, "create"):
			when, label = &created, "Create="
		case !strings.EqualFold(key, "modify"):
			return reply(504, "Create and Modify are the only facts that can be set"), nil
		}
		var err error
		if *when, err = wire.Time(value); err != nil {
			return wire.Reply{}, err
		}
		done += label + wire.FormatTime(*when) + ";"
	}
	if err := s.account.FS.SetTimes(ctx, s.path(name), modified, created); err != nil {
		return wire.Reply{}, err
	}
	return reply(213, done+" "+name), nil
}

// touch sets the modification time of a file. what stands before the time in the reply.
func (s *session) touch(ctx context.Context, what, name string, when time.Time) (wire.Reply, error) {
	if err := s.account.FS.SetTimes(ctx, s.path(name), when, time.Time{}); err != nil {
		return wire.Reply{}, err
	}
	if what == "" {
		return reply(213, wire.FormatTime(when)), nil
	}
	return reply(213, what+wire.FormatTime(when)+"; "+name), nil
}

// cutTime reads a time and the name behind it.
func cutTime(arg string) (when time.Time, name string, err error) {
	stamp, name, _ := strings.Cut(arg, " ")
	if name == "" {
		return time.Time{}, "", wire.ErrArgument
	}
	when, err = wire.Time(stamp)
	return when, name, err
}
