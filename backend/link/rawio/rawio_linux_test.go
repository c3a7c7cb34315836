package rawio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
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

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	return p
}

func TestBytes(t *testing.T) {
	near, far := pair(t)
	a, b := Conn(near), Conn(far)
	if a == net.Conn(near) {
		t.Fatalf("a %T", a)
	}
	want := noise(4<<20 + 1)
	for name, ends := range map[string][2]net.Conn{"one way": {a, b}, "the other": {b, a}} {
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if n, err := ends[0].Write(want); n != len(want) || err != nil {
				t.Errorf("%s: %d written, %v", name, n, err)
			}
			_ = ends[0].(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(ends[1])
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, or others; %v", name, len(got), len(want), err)
		}
		<-sent
	}
}

// One call moves a piece, and no more; together they move everything. A file takes and gives whatever one call asks for.
func TestPieces(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c, want := &conn{raw: raw}, noise(3*most+1)
	if n, err := c.Write(want); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for p, n := make([]byte, len(want)), most; n == most; {
		if n, err = c.Read(p); err != nil || n != min(most, len(want)-len(got)) {
			t.Fatalf("%d bytes at once, behind %d, %v", n, len(got), err)
		}
		got = append(got, p[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Error("others")
	}
}

// Who writes beside another is not mixed with him.
func TestTwoWriters(t *testing.T) {
	near, far := pair(t)
	c := Conn(near)
	const size = 2 << 20
	var both sync.WaitGroup
	for _, b := range []byte("ab") {
		both.Go(func() {
			if _, err := c.Write(bytes.Repeat([]byte{b}, size)); err != nil {
				t.Error(err)
				_ = c.Close()
			}
		})
	}
	got := make([]byte, 2*size)
	if _, err := io.ReadFull(far, got); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	for _, half := range [][]byte{got[:size], got[size:]} {
		if n := bytes.Count(half, half[:1]); n != size {
			t.Errorf("%d of %d bytes are %q", n, size, half[0])
		}
	}
}

var large = make([]byte, 64<<20) // more than sockets hold

// Everything ends as it does with a net.TCPConn.
func TestErrors(t *testing.T) {
	read := func(c net.Conn) (int, error) { return c.Read(make([]byte, 10)) }
	write := func(c net.Conn) (int, error) { return c.Write(large) }
	soon := func(f func()) { time.AfterFunc(10*time.Millisecond, f) }
	begun := func(far *net.TCPConn, f func()) { // once something has come
		go func() {
			_, _ = io.ReadFull(far, make([]byte, 1))
			f()
		}()
	}
	now := time.Unix(1, 0)
	for _, c := range []struct {
		name    string
		prepare func(near, far *net.TCPConn)
		do      func(c net.Conn) (int, error)
		want    error
	}{
		{"end", func(_, far *net.TCPConn) { _ = far.CloseWrite() }, read, io.EOF},
		{"nothing to read", func(_, far *net.TCPConn) { _ = far.CloseWrite() }, func(c net.Conn) (int, error) { return c.Read(nil) }, nil},
		{"nothing to read of a closed", func(near, _ *net.TCPConn) { _ = near.Close() }, func(c net.Conn) (int, error) { return c.Read(nil) }, net.ErrClosed},
		{"nothing to write", func(_, _ *net.TCPConn) {}, func(c net.Conn) (int, error) { return c.Write(nil) }, nil},
		{"nothing to write with the side closed", func(near, _ *net.TCPConn) { _ = near.CloseWrite() }, func(c net.Conn) (int, error) { return c.Write(nil) }, syscall.EPIPE},
		{"read of a closed", func(near, _ *net.TCPConn) { _ = near.Close() }, read, net.ErrClosed},
		{"write to a closed", func(near, _ *net.TCPConn) { _ = near.Close() }, write, net.ErrClosed},
		{"read too late", func(near, _ *net.TCPConn) { soon(func() { _ = near.SetReadDeadline(now) }) }, read, os.ErrDeadlineExceeded},
		{"write too late", func(near, far *net.TCPConn) { begun(far, func() { _ = near.SetWriteDeadline(now) }) }, write, os.ErrDeadlineExceeded},
		{"late before it began", func(near, _ *net.TCPConn) { _ = near.SetDeadline(now) }, write, os.ErrDeadlineExceeded},
		{"closed while it reads", func(near, _ *net.TCPConn) { soon(func() { _ = near.Close() }) }, read, net.ErrClosed},
		{"closed while it writes", func(near, far *net.TCPConn) { begun(far, func() { _ = near.Close() }) }, write, net.ErrClosed},
		{"read after a reset", func(_, far *net.TCPConn) { _, _ = far.SetLinger(0), far.Close() }, read, syscall.ECONNRESET},
		{"write with the side closed", func(near, _ *net.TCPConn) { _ = near.CloseWrite() }, write, syscall.EPIPE},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n [2]int
			var text [2]string
			for i, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, Conn} {
				near, far := pair(t)
				c.prepare(near, far)
				var err error
				if n[i], err = c.do(wrap(near)); !errors.Is(err, c.want) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				var op *net.OpError
				if errors.As(err, &op) {
					if op.Source != near.LocalAddr() || op.Addr != near.RemoteAddr() {
						t.Errorf("from %v to %v", op.Source, op.Addr)
					}
					op.Source, op.Addr = nil, nil // each pair has its own
				}
				if err != nil {
					text[i] = err.Error()
				}
			}
			if (n[0] == 0) != (n[1] == 0) || text[0] != text[1] {
				t.Errorf("%d bytes, %s; want about %d, %s", n[1], text[1], n[0], text[0])
			}
		})
	}
}

// A write that its deadline ends tells how much has gone.
func TestPartialWrite(t *testing.T) {
	near, far := pair(t)
	c := Conn(near)
	first := make(chan int)
	go func() {
		n, _ := far.Read(make([]byte, 1))
		_ = c.SetWriteDeadline(time.Unix(1, 0))
		first <- n
	}()
	n, err := c.Write(large)
	if n == 0 || n == len(large) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	_ = c.Close()
	one := <-first
	if got, err := io.Copy(io.Discard, far); got != int64(n-one) || err != nil {
		t.Errorf("%d bytes have come, %v; want %d", got+int64(one), err, n)
	}
}
