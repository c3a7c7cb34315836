package rawio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns both ends of a TCP connection.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	o, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return c.(*net.TCPConn), o.(*net.TCPConn)
}

func TestBytes(t *testing.T) {
	near, far := pair(t)
	a, b := Conn(near), Conn(far)
	want := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want)
	for name, ends := range map[string][2]net.Conn{"one way": {a, b}, "the other": {b, a}} {
		go func() {
			if n, err := ends[0].Write(want); n != len(want) || err != nil {
				t.Errorf("%s: %d written, %v", name, n, err)
			}
			_ = ends[0].(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(ends[1])
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, or others; %v", name, len(got), len(want), err)
		}
	}
}

// Everything ends as it does with a net.TCPConn.
func TestErrors(t *testing.T) {
	read := func(c net.Conn) (int, error) { return c.Read(make([]byte, 10)) }
	write := func(c net.Conn) (int, error) { return c.Write(make([]byte, 64<<20)) }
	for _, c := range []struct {
		name    string
		prepare func(near, far *net.TCPConn)
		do      func(c net.Conn) (int, error)
		want    error
	}{
		{"end", func(_, far *net.TCPConn) { _ = far.CloseWrite() }, read, io.EOF},
		{"nothing to read", func(_, far *net.TCPConn) { _ = far.CloseWrite() }, func(c net.Conn) (int, error) { return c.Read(nil) }, nil},
		{"nothing to write", func(_, _ *net.TCPConn) {}, func(c net.Conn) (int, error) { return c.Write(nil) }, nil},
		{"read of a closed", func(near, _ *net.TCPConn) { _ = near.Close() }, read, net.ErrClosed},
		{"write to a closed", func(near, _ *net.TCPConn) { _ = near.Close() }, write, net.ErrClosed},
		{"read too late", func(near, _ *net.TCPConn) { _ = near.SetDeadline(time.Now().Add(10 * time.Millisecond)) }, read, os.ErrDeadlineExceeded},
		{"write too late", func(near, _ *net.TCPConn) { _ = near.SetDeadline(time.Now().Add(10 * time.Millisecond)) }, write, os.ErrDeadlineExceeded},
		{"late before it began", func(near, _ *net.TCPConn) { _ = near.SetDeadline(time.Now().Add(-1)) }, write, os.ErrDeadlineExceeded},
		{"closed meanwhile", func(near, _ *net.TCPConn) { time.AfterFunc(10*time.Millisecond, func() { _ = near.Close() }) }, read, net.ErrClosed},
		{"read after a reset", func(_, far *net.TCPConn) { _, _ = far.SetLinger(0), far.Close() }, read, syscall.ECONNRESET},
		{"write with the side closed", func(near, _ *net.TCPConn) { _ = near.CloseWrite() }, write, syscall.EPIPE},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n [2]int
			var err [2]error
			for i, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, Conn} {
				near, far := pair(t)
				c.prepare(near, far)
				n[i], err[i] = c.do(wrap(near))
				if !errors.Is(err[i], c.want) {
					t.Fatalf("%v, want %v", err[i], c.want)
				}
				var op *net.OpError
				if errors.As(err[i], &op) {
					op.Source, op.Addr = nil, nil // each pair has its own
				}
			}
			if (n[0] == 0) != (n[1] == 0) || (err[0] == nil) != (err[1] == nil) || err[0] != nil && err[0].Error() != err[1].Error() {
				t.Errorf("%d bytes, %v; want about %d, %v", n[1], err[1], n[0], err[0])
			}
		})
	}
}

// A write that its deadline ends tells how much has gone.
func TestPartialWrite(t *testing.T) {
	near, far := pair(t)
	c := Conn(near)
	_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := c.Write(make([]byte, 64<<20))
	if n == 0 || n == 64<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	_ = c.Close()
	if got, err := io.Copy(io.Discard, far); got != int64(n) || err != nil {
		t.Errorf("%d bytes have come, %v; want %d", got, err, n)
	}
}

// What is no TCP connection stays what it is.
func TestOther(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if Conn(near) != near {
		t.Error("a pipe is not itself any more")
	}
}
