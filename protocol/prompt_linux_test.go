package protocol_test

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"sluice/protocol"
	"sluice/protocol/dataconn"
	"sluice/protocol/wiretest"
)

// asked are connections, as a listener accepts them, that count what is asked of their sockets.
type asked struct {
	net.Listener
	n atomic.Int32
}

func (l *asked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &askedConn{c, &l.n}, err
}

type askedConn struct {
	net.Conn
	n *atomic.Int32
}

func (c *askedConn) SyscallConn() (syscall.RawConn, error) {
	c.n.Add(1)
	return nil, errors.ErrUnsupported
}

// TestPromptHandshake: AUTH TLS acknowledges at once what its handshake reads (socket.Prompt), and no command behind it.
func TestPromptHandshake(t *testing.T) {
	network := wiretest.NewNetwork()
	passive, err := dataconn.Listen(t.Context(), dataconn.Config{FirstPort: 1024, LastPort: 1024, Listen: network.Listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = passive.Close() })
	serverTLS, clientTLS := wiretest.Certificate(t)
	server, err := protocol.New(t.Context(), protocol.Config{
		Driver: &driver{fs: newFS(t)}, TLS: func() *tls.Config { return serverTLS }, Passive: passive,
	})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := network.Listen("tcp", ":21")
	if err != nil {
		t.Fatal(err)
	}
	l := &asked{Listener: inner}
	go func() { _ = server.Serve(l, protocol.Explicit) }()
	conn, err := network.Dial(client, client, 21)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := newPeer(t, conn)
	p.do("", "220")
	before := l.n.Load()
	p.do("AUTH TLS", "234")
	secured := tls.Client(conn, clientTLS)
	p = newPeer(t, secured)
	p.do("NOOP", "200")
	after := l.n.Load()
	if after < before+2 {
		t.Errorf("%d of the reads of a handshake were acknowledged at once", after-before)
	}
	p.do("NOOP", "200")
	if l.n.Load() != after {
		t.Error("commands are acknowledged one by one")
	}
}
