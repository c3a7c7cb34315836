package socket

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// noted is a connection that notes what is done to it.
type noted struct {
	net.Conn
	log []string
}

func (c *noted) Read([]byte) (int, error) {
	c.log = append(c.log, "read")
	return 1, nil
}

func (c *noted) SyscallConn() (syscall.RawConn, error) {
	c.log = append(c.log, "acknowledge")
	return nil, errors.ErrUnsupported
}

// TestPrompt: until a handshake is over, what came is acknowledged before more is read.
func TestPrompt(t *testing.T) {
	c := &noted{}
	p := &Prompt{Conn: c, Transport: c}
	for _, p.Over = range []bool{false, false, true} {
		if _, err := p.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if want := strings.Fields("acknowledge read acknowledge read read"); !slices.Equal(c.log, want) {
		t.Errorf("%q, want %q", c.log, want)
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	for name, conn := range map[string]net.Conn{"plain": a, "wrapped": wrapped{a}} {
		option := func(set bool) (value int) {
			if err := of(a).Control(func(fd uintptr) {
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
		Acknowledge(conn)
		if option(false) == 0 {
			t.Errorf("%s: acknowledgements are still delayed", name)
		}
	}
	b, _ := net.Pipe()
	if of(b) != nil || of(wrapped{b}) != nil {
		t.Error("a pipe has a socket")
	}
}
