package protocol

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/wire"
)

func (s *session) rnfr(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if name == "/" {
		return wire.Reply{}, fmt.Errorf("the root: %w", backend.ErrPermission)
	}
	switch info, err := s.account.FS.Stat(backend.AllowPartial(ctx), name); {
	case err != nil && !hidden(err):
		return wire.Reply{}, err
	case err == nil && !info.Rights.Has(vfs.Rename):
		return wire.Reply{}, fmt.Errorf("no right to rename: %w", backend.ErrPermission)
	}
	s.renaming = name
	return reply(350, "Ready for RNTO"), nil
}

// hidden reports whether the user may not see what he may nevertheless be allowed to rename.
func hidden(err error) bool { return errors.Is(err, backend.ErrPermission) }

// wish is what a user wants to be renamed.
type wish struct{ user, from, to string }

// attempt is a rename under way.
type attempt struct {
	left chan struct{} // closed when its client has gone
	heir atomic.Bool   // somebody waits for it in that client's place
	over chan struct{} // closed at its end
	ok   bool          // valid behind that
}

// inherit reports whether the caller may wait for the attempt as his own.
func (a *attempt) inherit() bool {
	select {
	case <-a.left:
		return a.heir.CompareAndSwap(false, true)
	default:
		return false
	}
}

// rnto may take its time: a directory is copied. Many a client gives up waiting, connects again and asks for the same. So the loss of the control
// connection does not stop it; and the first who asks for what a lost session is at waits for its success, or for its failure to try again.
// Nobody else shares it: of two that claim a file by renaming it, one gets it. Who closes his side of the connection counts as gone.
func (s *session) rnto(t *transfer, arg string) job {
	w := wish{s.account.Name, s.renaming, s.path(arg)}
	return func(ctx context.Context) (wire.Reply, error) {
		switch {
		case w.from == "":
			return reply(503, "Send RNFR first"), nil
		case w.to == "/":
			return wire.Reply{}, vfs.ErrExist
		}
		mine := &attempt{left: t.left, over: make(chan struct{})}
		for {
			other, busy := s.srv.renames.LoadOrStore(w, mine)
			first, _ := other.(*attempt)
			if !busy || !first.inherit() {
				break
			}
			select {
			case <-first.over:
			case <-t.left:
				first.heir.Store(false)
				return wire.Reply{}, errLost
			case <-ctx.Done():
				first.heir.Store(false)
				return wire.Reply{}, context.Cause(ctx)
			}
			if first.ok {
				return reply(250, "Renamed"), nil
			}
		}
		defer func() {
			s.srv.renames.CompareAndDelete(w, mine)
			close(mine.over)
		}()
		if err := t.fs.Rename(ctx, w.from, w.to); err != nil {
			return wire.Reply{}, err
		}
		mine.ok = true
		return reply(250, "Renamed"), nil
	}
}
