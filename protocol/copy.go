package protocol

import (
	"context"
	"fmt"

	"sluice/backend"
	"sluice/protocol/wire"
)

// comb joins files to one, inside the store, and removes them. A target that exists comes first.
func (s *session) comb(t *transfer, arg string) job {
	names, err := wire.Fields(arg)
	for i, n := range names {
		names[i] = s.path(n)
	}
	return func(ctx context.Context) (wire.Reply, error) {
		switch {
		case err != nil:
			return wire.Reply{}, err
		case len(names) < 2:
			return wire.Reply{}, wire.ErrArgument
		}
		if err := t.fs.Concat(ctx, names[0], names[1:]); err != nil {
			return wire.Reply{}, err
		}
		return reply(250, "Files joined"), nil
	}
}

// siteCopy copies a file inside the store.
func (s *session) siteCopy(t *transfer, arg string) job {
	names, err := wire.Fields(arg)
	if err == nil && len(names) != 2 {
		err = fmt.Errorf("%d names: %w", len(names), wire.ErrArgument)
	}
	if err != nil {
		return func(context.Context) (wire.Reply, error) { return wire.Reply{}, err }
	}
	return t.copy(s.path(names[0]), s.path(names[1]))
}

// siteCpfr and siteCpto are the same in two steps, for names with blanks (ProFTPD, mod_copy).
func (s *session) siteCpfr(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if _, err := s.account.FS.Stat(backend.AllowPartial(ctx), name); err != nil {
		return wire.Reply{}, err
	}
	s.copying = name
	return reply(350, "Ready for SITE CPTO"), nil
}

func (s *session) siteCpto(t *transfer, arg string) job {
	if s.copying == "" {
		return func(context.Context) (wire.Reply, error) { return reply(503, "Send SITE CPFR first"), nil }
	}
	return t.copy(s.copying, s.path(arg))
}

func (t *transfer) copy(from, to string) job {
	return func(ctx context.Context) (wire.Reply, error) {
		if from == to {
			return wire.Reply{}, fmt.Errorf("onto itself: %w", backend.ErrPermission)
		}
		if err := t.fs.Copy(ctx, from, to); err != nil {
			return wire.Reply{}, err
		}
		return reply(250, "Copied"), nil
	}
}
