package dataconn

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// noted is a connection that notes what is done to it. Its kernel does nothing.
type noted struct {
	net.Conn
	mu  sync.Mutex
	log []string
}

func (c *noted) note(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, event)
}

func (c *noted) Read(p []byte) (int, error) {
	c.note("read")
	return c.Conn.Read(p)
}

func (c *noted) Write(p []byte) (int, error) {
	c.note("write")
	return c.Conn.Write(p)
}

func (c *noted) SyscallConn() (syscall.RawConn, error) {
	c.note("acknowledge")
	return nil, errors.ErrUnsupported
}

// TestPrompt: the second piece of what ends a client's handshake may be sent only when the first has been acknowledged, so nothing is read
// before that is asked of the kernel.
func TestPrompt(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		server, client := selfSigned(t)
		client.MaxVersion = version
		a, b := tcpPair(t)
		go func() { _ = tls.Client(a, client).Handshake() }()
		c := &noted{Conn: b}
		if _, err := handshake(t.Context(), &rawConn{Conn: c}, server); err != nil {
			t.Fatal(err)
		}
		flight := slices.Index(c.log, "write")
		for i, event := range c.log {
			if event == "read" && (i == 0 || c.log[i-1] != "acknowledge") {
				t.Errorf("%q", c.log)
			}
		}
		if flight < 0 || !slices.Contains(c.log[flight:], "read") {
			t.Errorf("nothing is read behind the server's part: %q", c.log)
		}
	})
}
