package dataconn

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
	for name, shake := range map[string]func(c *noted, cfg *tls.Config) error{
		"control": func(c *noted, cfg *tls.Config) error {
			return tls.Server(&Prompt{Conn: c, Transport: c}, cfg).Handshake()
		},
		"data": func(c *noted, cfg *tls.Config) error {
			_, err := handshake(t.Context(), &rawConn{Conn: c}, cfg)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				server, client := selfSigned(t)
				client.MaxVersion = version
				a, b := tcpPair(t)
				go func() { _ = tls.Client(a, client).Handshake() }()
				c := &noted{Conn: b}
				if err := shake(c, server); err != nil {
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
		})
	}
	a, b := tcpPair(t)
	c := &noted{Conn: a}
	_, _ = b.Write([]byte("x"))
	if _, err := (&Prompt{Conn: c, Transport: c, Over: true}).Read(make([]byte, 1)); err != nil || slices.Contains(c.log, "acknowledge") {
		t.Errorf("behind the handshake: %q, %v", c.log, err)
	}
}

// wrapped is a connection as a PROXY protocol listener hands it on.
type wrapped struct{ net.Conn }

func (c wrapped) TCPConn() (*net.TCPConn, bool) {
	below, ok := c.Conn.(*net.TCPConn)
	return below, ok
}

// TestAcknowledge: the kernel takes what it is asked for, behind a PROXY protocol listener too.
func TestAcknowledge(t *testing.T) {
	a, _ := tcpPair(t)
	for name, conn := range map[string]net.Conn{"plain": a, "wrapped": wrapped{a}} {
		option := func(set bool) (value int) {
			if err := Socket(a).Control(func(fd uintptr) {
				if set {
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
				}
				value, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK)
			}); err != nil {
				t.Fatal(err)
			}
			return value
		}
		if before := option(true); before != 0 {
			t.Fatalf("%s: the option is %d when it has been turned off", name, before)
		}
		acknowledge(conn)
		if option(false) == 0 {
			t.Errorf("%s: acknowledgements are still delayed", name)
		}
	}
	b, _ := net.Pipe()
	if Socket(b) != nil || Socket(wrapped{b}) != nil {
		t.Error("a pipe has a socket")
	}
}
