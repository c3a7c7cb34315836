package protocol_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend/mem"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wiretest"
)

// servePlain serves fs without TLS on one passive port. dial logs in, and opens what a data connection needs: data is called behind EPSV.
func servePlain(t *testing.T, fs vfs.FS) (_ *protocol.Server, dial func() (p *peer, data func() net.Conn)) {
	t.Helper()
	network := wiretest.NewNetwork()
	passive, err := dataconn.Listen(t.Context(), dataconn.Config{FirstPort: 1024, LastPort: 1024, Listen: network.Listen})
	if err != nil {
		t.Fatal(err)
	}
	server, err := protocol.New(t.Context(), protocol.Config{Driver: &driver{fs: fs}, Passive: passive, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := network.Listen("tcp", ":21")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l, protocol.Explicit) }()
	connect := func(port int) net.Conn {
		t.Helper()
		conn, err := network.Dial(client, client, port)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	t.Cleanup(func() { _ = passive.Close() })
	return server, func() (*peer, func() net.Conn) {
		t.Helper()
		p := newPeer(t, connect(21))
		p.do("", "220")
		p.do("USER alice", "331")
		p.do("PASS secret", "230")
		return p, func() net.Conn { return connect(1024) }
	}
}

// TestBuffersExhausted: an upload for which there is no buffer within ten seconds is refused for now, before its data connection is used, and is
// served when others have ended.
func TestBuffersExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := vfs.New(vfs.Config{
			Engine: transfer.New(transfer.Config{Budget: transfer.NewBudget(3<<20, 1<<20)}), // two uploads at once
			Mounts: []vfs.Mount{{Path: "/", Store: mem.New(mem.Config{}), Rights: vfs.Full}},
		})
		if err != nil {
			t.Fatal(err)
		}
		server, dial := servePlain(t, tree)
		var peers []*peer
		var open []net.Conn
		for _, name := range []string{"first", "second"} {
			p, data := dial()
			p.do("TYPE I", "200")
			p.do("EPSV", "229")
			conn := data()
			p.do("STOR "+name, "150")
			if _, err := io.WriteString(conn, strings.Repeat("x", 1000)); err != nil {
				t.Fatal(err)
			}
			peers, open = append(peers, p), append(open, conn)
		}
		synctest.Wait()
		p, data := dial()
		p.do("EPSV", "229")
		refused, begun := data(), time.Now()
		p.do("STOR third", "450")
		if d := time.Since(begun); d != 10*time.Second {
			t.Errorf("refused after %v", d)
		}
		_ = refused.Close()
		for i, conn := range open {
			_ = conn.Close()
			peers[i].do("", "226")
		}
		p.do("EPSV", "229")
		conn := data()
		p.do("STOR third", "150")
		_ = conn.Close()
		p.do("", "226")
		for _, p := range append(peers, p) {
			_ = p.conn.Close()
		}
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
