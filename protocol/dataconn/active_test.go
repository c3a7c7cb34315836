package dataconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestActive: the server connects from the control connection's address and is the TLS server there too.
func TestActive(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		r := newRig(t, Config{})
		s, client := r.login(local, version)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		got := make(chan string, 1)
		go func() {
			raw, err := l.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			c := tls.Client(raw, client)
			p, err := io.ReadAll(c)
			if err != nil || !c.ConnectionState().DidResume {
				got <- "not resumed, or cut off"
			} else {
				got <- string(p)
			}
			_ = c.Close()
		}()
		var d Dialer
		conn, err := d.Expect(s, netip.MustParseAddr("127.0.0.3"), netip.MustParseAddrPort(l.Addr().String()), true).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if from := address(conn.raw); from != local || !conn.Resumed() {
			t.Errorf("connected to %v, resumed %v", from, conn.Resumed())
		}
		if from := conn.raw.LocalAddr().(*net.TCPAddr).IP.String(); from != "127.0.0.3" {
			t.Errorf("connected from %s", from)
		}
		if slow(conn) {
			t.Errorf("over a %T", conn.raw.Conn)
		}
		if _, err := conn.Write([]byte("active")); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if text := <-got; text != "active" {
			t.Error(text)
		}
	})
}

// TestActiveFails: nobody there, a silent client and a cancelled transfer all end.
func TestActiveFails(t *testing.T) {
	r := newRig(t, Config{})
	s, _ := r.login(local, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(l.Addr().String())
	d := Dialer{HandshakeTimeout: 50 * time.Millisecond}
	if _, err := d.Expect(s, local, to, true).Conn(t.Context()); !errors.Is(err, ErrNoConn) {
		t.Errorf("a silent client: %v", err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := d.Expect(s, local, to, true).Conn(ctx); !errors.Is(err, gone) {
		t.Errorf("a cancelled transfer: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Expect(s, local, to, false).Conn(t.Context()); !errors.Is(err, ErrNoConn) {
		t.Errorf("nobody there: %v", err)
	}
}
