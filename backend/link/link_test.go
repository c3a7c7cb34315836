package link

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A connection on which nothing moves breaks; an answer is awaited for as long as what is written moves.
func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		const read, write = 5 * time.Minute, time.Minute
		c, err := Dial(func(context.Context, string, string) (net.Conn, error) { return near, nil }, read, write)(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			answer <- err
		}()
		for range 10 {
			go func() {
				time.Sleep(write - time.Second)
				_, _ = far.Read(make([]byte, 1))
			}()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(read - time.Second - write)
		if _, err := far.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("the answer to a slow request: %v", err)
		}
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != read {
			t.Errorf("from a silent server: %v after %v", err, time.Since(start))
		}
		start = time.Now()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != write {
			t.Errorf("to a deaf server: %v after %v", err, time.Since(start))
		}
	})
}

// Connections over TCP do without the scheduler where they can.
func TestDialRaw(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial((&net.Dialer{}).DialContext, 1, 1)(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, plain := c.(*conn).Conn.(*net.TCPConn); plain == (runtime.GOOS == "linux") {
		t.Errorf("a %T", c.(*conn).Conn)
	}
}

func TestDialFails(t *testing.T) {
	want := errors.New("refused")
	if c, err := Dial(func(context.Context, string, string) (net.Conn, error) { return nil, want }, 1, 1)(t.Context(), "", ""); c != nil || !errors.Is(err, want) {
		t.Errorf("%v, %v", c, err)
	}
}
