package protocol

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"sluice/backend/vfs"
	"sluice/protocol/listing"
	"sluice/protocol/wire"
)

// maxStat bounds the entries of STAT path: they travel over the control connection and are held in memory.
const maxStat = 1000

// features is RFC 2389 3: what works now, in an order that stays.
func (s *session) features(context.Context, string) (wire.Reply, error) {
	lines := []string{s.facts.Feature(), s.hashFeature(), "TVFS", "UTF8"}
	if !s.srv.cfg.NoDeflate {
		lines = append(lines, "MODE Z")
	}
	if s.srv.cfg.CCC != CCCOff && s.protected() {
		lines = append(lines, "CCC")
	}
	if s.srv.cfg.Active != nil {
		lines = append(lines, "EPRT")
	}
	for _, table := range []map[string]*command{s.srv.commands, s.srv.site} {
		for _, row := range table {
			if row.feat != "" {
				lines = append(lines, row.feat)
			}
		}
	}
	sort.Strings(lines)
	return reply(211, append(append([]string{"Features:"}, lines...), "End")...), nil
}

// syst names no system but the one whose listings clients know how to read.
func (s *session) syst(context.Context, string) (wire.Reply, error) {
	return reply(215, "UNIX Type: L8"), nil
}

func (s *session) noop(context.Context, string) (wire.Reply, error) { return reply(200, "OK"), nil }

func (s *session) helpText(_ context.Context, arg string) (wire.Reply, error) {
	if arg != "" {
		row := s.srv.commands[strings.ToUpper(strings.TrimSpace(arg))]
		if row == nil || row.help == "" {
			return reply(502, "Not served here"), nil
		}
		return reply(214, "Syntax: "+row.help), nil
	}
	lines := []string{"Commands:"}
	var verbs []string
	for verb, row := range s.srv.commands {
		if row.help != "" {
			verbs = append(verbs, fmt.Sprintf("%-8s", verb))
		}
	}
	slices.Sort(verbs)
	for row := range slices.Chunk(verbs, 8) {
		lines = append(lines, strings.TrimRight(strings.Join(row, ""), " "))
	}
	return reply(214, append(lines, "End")...), nil
}

// stat reports on the session and its transfer, or lists a path over the control connection (RFC 959 4.1.3).
func (s *session) stat(ctx context.Context, arg string) (wire.Reply, error) {
	if arg != "" {
		return s.statPath(ctx, listPath(arg))
	}
	lines := []string{"Status:"}
	if s.account == nil {
		lines = append(lines, "Not logged in")
	} else {
		lines = append(lines, "Logged in")
	}
	if s.secure {
		lines = append(lines, "Control connection: TLS")
	} else {
		lines = append(lines, "Control connection: clear")
	}
	if t := s.current; t != nil {
		lines = append(lines, fmt.Sprintf("%s in progress: %d bytes in %d s", t.verb, t.bytes.Load(), int(time.Since(t.begun).Seconds())))
	}
	return reply(211, append(lines, "End")...), nil
}

func (s *session) statPath(ctx context.Context, arg string) (wire.Reply, error) {
	if s.account == nil {
		return reply(530, "Log in first"), nil
	}
	info, err := s.account.FS.Stat(ctx, s.path(arg))
	if err != nil {
		return wire.Reply{}, err
	}
	now := time.Now()
	if !info.Dir {
		return reply(213, "Status:", s.long(info, now), "End"), nil
	}
	lines := []string{"Status:"}
	for e, err := range s.account.FS.ReadDir(ctx, s.path(arg)) {
		if err != nil {
			return wire.Reply{}, err
		}
		if len(lines) > maxStat {
			return wire.Reply{}, fmt.Errorf("more than %d entries: %w", maxStat, vfs.ErrBusy)
		}
		lines = append(lines, s.long(e, now))
	}
	return reply(212, append(lines, "End")...), nil
}

// long is a line of LIST in a reply.
func (s *session) long(e vfs.Info, now time.Time) string {
	e.Name = s.names.Encode(e.Name)
	return string(listing.AppendLong(nil, e, now))
}

// abor is reached when nothing runs any more: a transfer was cancelled when the command was read, and has answered 426, or
// 226 if it was through (RFC 959 4.1.3).
func (s *session) abor(context.Context, string) (wire.Reply, error) {
	s.dropExpected()
	return reply(226, "Abort done"), nil
}
