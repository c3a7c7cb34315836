package protocol_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/protocol/wiretest"
)

// peer is a client that reads replies.
type peer struct {
	t    *testing.T
	conn net.Conn
	text *textproto.Reader
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	return &peer{t, conn, textproto.NewReader(bufio.NewReader(conn))}
}

// do sends a command, unless it is empty, and wants a reply that begins with code.
func (p *peer) do(command, code string) string {
	p.t.Helper()
	if command != "" {
		if _, err := io.WriteString(p.conn, command+"\r\n"); err != nil {
			p.t.Fatal(err)
		}
	}
	n, text, err := p.text.ReadResponse(0)
	if got := fmt.Sprint(n, " ", text); err != nil || !strings.HasPrefix(got, code) {
		p.t.Fatalf("%s: %q, %v, want %s", command, got, err, code)
	}
	return text
}

// TestDrain: while a transfer keeps the server from ending, whoever connects hears 421 on every listener, the transfer goes on to
// its end, and a client that stays silent holds nothing up.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := startServer(t, map[string]string{"plain": "yes"})
		from, to := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.1")
		dial := func(port int) net.Conn {
			conn, err := server.Network.Dial(from, to, port)
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		busy, idle := newPeer(t, dial(server.Explicit)), newPeer(t, dial(server.Explicit))
		for _, p := range []*peer{busy, idle} {
			p.do("", "220")
			p.do("USER alice", "331")
			p.do("PASS secret", "230")
		}
		busy.do("TYPE I", "200")
		var port int
		reply := busy.do("EPSV", "229")
		if _, err := fmt.Sscanf(reply[strings.Index(reply, "("):], "(|||%d|)", &port); err != nil {
			t.Fatal(reply)
		}
		data := dial(port)
		busy.do("STOR f", "150")
		if _, err := io.WriteString(data, "first "); err != nil {
			t.Fatal(err)
		}

		begun, done := time.Now(), make(chan struct{})
		go func() {
			server.Close()
			close(done)
		}()
		idle.do("", "421")
		newPeer(t, dial(server.Explicit)).do("", "421 Server is shutting down")
		implicit := tls.Client(dial(server.Implicit), server.Client)
		newPeer(t, implicit).do("", "421 Server is shutting down")
		silent := dial(server.Implicit)
		defer silent.Close()

		if _, err := io.WriteString(data, "last"); err != nil {
			t.Fatal(err)
		}
		if err := data.(*wiretest.Conn).Close(); err != nil {
			t.Fatal(err)
		}
		busy.do("", "226")
		busy.do("", "421")
		synctest.Wait()
		for _, p := range []*peer{busy, idle} {
			_ = p.conn.Close()
		}
		<-done
		if took := time.Since(begun); took > 5*time.Second { // of the bubble's time
			t.Errorf("the silent client held the end up for %v", took)
		}
		for _, port := range []int{server.Explicit, server.Implicit} {
			if conn, err := server.Network.Dial(from, to, port); err == nil {
				_ = conn.Close()
				t.Errorf("port %d is still listened on", port)
			}
		}
	})
}
