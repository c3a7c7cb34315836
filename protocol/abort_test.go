package protocol_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/protocol/wiretest"
)

// TestAbortSlowStore: ABOR is answered within a second although the store takes ten for each request, and what was aborted is
// never seen. An upload whose data has come whole is answered with what became of it.
func TestAbortSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		store := mem.New(mem.Config{Delay: func(string, string) time.Duration {
			if slow.Load() {
				return 10 * time.Second
			}
			return 0
		}})
		tree, err := vfs.New(vfs.Config{
			Engine: transfer.New(transfer.Config{}), Mounts: []vfs.Mount{{Path: "/", Store: store, Rights: vfs.Full}},
		})
		if err != nil {
			t.Fatal(err)
		}
		server, dial := servePlain(t, tree)
		p, connect := dial()
		conn, in := p.conn, p.text.R
		say := func(command string, codes ...string) {
			t.Helper()
			if command != "" {
				_, _ = io.WriteString(conn, command+"\r\n")
			}
			for _, code := range codes {
				if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, code) {
					t.Fatalf("%s: %q, %v, want %s", command, line, err, code)
				}
			}
		}
		say("TYPE I", "200")
		open := func(command string) *wiretest.Conn {
			say("EPSV", "229")
			data, _ := connect().(*wiretest.Conn)
			say(command, "150")
			return data
		}

		data := open("STOR large")
		_, _ = io.WriteString(data, strings.Repeat("x", 20<<20)) // more than a part
		synctest.Wait()
		slow.Store(true)
		begun := time.Now()
		say("ABOR", "426", "226")
		if d := time.Since(begun); d > time.Second {
			t.Errorf("ABOR took %v", d)
		}
		say("NOOP", "200")
		time.Sleep(2 * time.Minute)
		slow.Store(false)
		say("SIZE large", "550")
		if up := store.Uploads(); len(up) != 0 {
			t.Errorf("uploads are left: %v", up)
		}

		data = open("STOR whole")
		_, _ = io.WriteString(data, "all of it")
		synctest.Wait()
		slow.Store(true)
		_ = data.CloseWrite()
		synctest.Wait()
		_, _ = io.WriteString(conn, "ABOR\r\n")
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		say("", "226")
		time.Sleep(time.Minute)
		slow.Store(false)
		if strings.HasPrefix(line, "226") {
			say("SIZE whole", "213 9")
		} else {
			say("SIZE whole", "550")
		}

		_ = conn.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
