package protocol_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sluice/backend/vfs"
)

// gated is a tree whose renames end as they are told.
type gated struct {
	vfs.FS
	begun, stopped atomic.Int32
	outcomes       chan error
}

func (g *gated) Rename(ctx context.Context, _, _ string) error {
	g.begun.Add(1)
	select {
	case err := <-g.outcomes:
		return err
	case <-ctx.Done():
		g.stopped.Add(1)
		return context.Cause(ctx)
	}
}

// TestRenameAskedAgain: a rename goes on when its client has gone, and who asks for it again hears of its end. Two clients that are both there
// share nothing, nor do two that ask again; ABOR and the end of the server stop it.
func TestRenameAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &gated{FS: newFS(t), outcomes: make(chan error)}
		if err := fs.Mkdir(t.Context(), "/d"); err != nil {
			t.Fatal(err)
		}
		server, dial := servePlain(t, fs)
		ask := func(to string) *peer {
			t.Helper()
			p, _ := dial()
			p.do("RNFR d", "350")
			if _, err := p.conn.Write([]byte("RNTO " + to + "\r\n")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return p
		}
		leave := func(p *peer) {
			_ = p.conn.Close()
			synctest.Wait()
		}
		begun := func(want int32) {
			t.Helper()
			if n := fs.begun.Swap(0); n != want {
				t.Errorf("%d renames have begun, want %d", n, want)
			}
		}

		leave(ask("e")) // gives up
		other, again := ask("f"), ask("e")
		begun(2) // "d" to "e", and to "f"
		fs.outcomes <- nil
		fs.outcomes <- nil
		again.do("", "250")
		other.do("", "250")

		quits := ask("e")
		_, _ = quits.conn.Write([]byte("QUIT\r\n"))
		leave(quits)
		heir, late := ask("e"), ask("e")
		begun(2) // one waits, and two share nothing
		fs.outcomes <- nil
		fs.outcomes <- vfs.ErrExist
		codes := map[string]bool{}
		for _, p := range []*peer{heir, late} {
			code, _, _ := p.text.ReadResponse(0)
			codes[fmt.Sprint(code)] = true
			leave(p)
		}
		if !codes["250"] || !codes["550"] {
			t.Errorf("two ask for what a lost session is at and hear %v", codes)
		}

		leave(ask("e"))
		leave(ask("e")) // it has waited
		aborts := ask("e")
		aborts.do("ABOR", "426")
		aborts.do("", "226")
		second := ask("e")
		begun(1)
		fs.outcomes <- vfs.ErrBusy
		synctest.Wait()
		begun(1) // tried again
		leave(second)
		third := ask("e")
		begun(0)
		fs.outcomes <- nil
		third.do("", "250")

		one, two := ask("e"), ask("e")
		begun(2)
		fs.outcomes <- nil
		fs.outcomes <- nil
		one.do("", "250")
		two.do("", "250")

		if n := fs.stopped.Load(); n != 0 {
			t.Errorf("%d renames were stopped by the loss of a connection", n)
		}
		third = ask("e")
		third.do("ABOR", "426")
		third.do("", "226")
		if n := fs.stopped.Load(); n != 1 {
			t.Errorf("ABOR has stopped %d renames", n)
		}
		hasty := ask("e")
		_, _ = hasty.conn.Write([]byte("ABOR\r\n"))
		leave(hasty) // the loss does not hide the ABOR
		if n := fs.stopped.Load(); n != 2 {
			t.Errorf("ABOR and the loss of the connection have stopped %d renames", n-1)
		}
		leave(ask("e"))
		for _, p := range []*peer{other, again, aborts, third, one, two} {
			leave(p)
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		_ = server.Shutdown(now)
		synctest.Wait()
		if n := fs.stopped.Load(); n != 3 {
			t.Error("the end of the server stops no rename")
		}
	})
}
