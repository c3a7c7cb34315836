package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// watched is a connection that knows the longest write.
type watched struct {
	net.Conn
	longest *int
}

func (w watched) Write(p []byte) (int, error) {
	*w.longest = max(*w.longest, len(p))
	return w.Conn.Write(p)
}

// A body arrives as it is, and in pieces that are written at once where the connection is clear.
func TestMemory(t *testing.T) {
	p := make([]byte, 3*bulk+12345)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	var got []byte
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, _ = io.ReadAll(r.Body) })
	for name, server := range map[string]*httptest.Server{"clear": httptest.NewServer(handler), "TLS": httptest.NewTLSServer(handler)} {
		defer server.Close()
		longest, dials := 0, 0
		transport := server.Client().Transport.(*http.Transport).Clone()
		dialer := net.Dialer{}
		transport.DialContext = Dial(func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			c, err := dialer.DialContext(ctx, network, address)
			return watched{c, &longest}, err
		}, time.Minute, time.Minute)
		client := &http.Client{Transport: transport}
		defer client.CloseIdleConnections()
		for range 2 { // the second time over the same connection
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, NewMemory(p))
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength, got = int64(len(p)), nil
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if !bytes.Equal(got, p) {
				t.Errorf("%s: %d bytes arrived, or others", name, len(got))
			}
		}
		if dials != 1 {
			t.Errorf("%s: %d connections for two requests", name, dials)
		}
		if want := name == "clear"; (longest == bulk) != want {
			t.Errorf("%s: the longest write has %d bytes", name, longest)
		}
	}
}

// An answer that comes before the end of the request, to a body that nobody reads, does not keep Close waiting; and behind it the memory is
// nobody's.
func TestEarlyAnswer(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	transport := &http.Transport{
		DialContext: Dial(func(context.Context, string, string) (net.Conn, error) { return near, nil }, time.Hour, time.Hour),
	}
	defer transport.CloseIdleConnections()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 5000)) // beyond the headers
		_, _ = io.WriteString(far, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
	}()
	p := make([]byte, 2*bulk)
	body := NewMemory(p)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://store", body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(p))
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := body.Close(); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("Close took %v: %v", time.Since(start), err)
	}
	for i := range p {
		p[i] = 1 // the race detector sees who looks
	}
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read after Close: %v", err)
	}
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "busy" {
		t.Errorf("%q, %v", text, err)
	}
	answer.Body.Close()
}

// A line that moves is not given up, however long one piece takes; one that does not is.
func TestSlowMemory(t *testing.T) {
	for _, moves := range []int{100, 10} { // pieces of 4 KiB that the far end takes
		near, far := net.Pipe()
		c := &conn{Conn: near, read: time.Minute, write: 200 * time.Millisecond}
		go func() {
			for range moves {
				time.Sleep(10 * time.Millisecond)
				_, _ = io.ReadFull(far, make([]byte, 4<<10))
			}
		}()
		n, err := c.ReadFrom(io.LimitReader(NewMemory(make([]byte, 400<<10)), 400<<10))
		if whole := moves == 100; whole != (err == nil) || n != int64(moves)*4<<10 || !whole && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", n, err)
		}
		near.Close()
		far.Close()
	}
}

// What is no Memory is copied.
func TestReadFrom(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := &conn{Conn: near, read: time.Minute, write: time.Minute}
	go func() {
		_, _ = c.ReadFrom(strings.NewReader("abc"))
		_, _ = c.ReadFrom(io.LimitReader(strings.NewReader("defg"), 3))
		_, _ = c.ReadFrom(io.LimitReader(NewMemory([]byte("ghi")), 2))
		_ = c.Close()
	}()
	if got, err := io.ReadAll(far); err != nil || string(got) != "abcdefgh" {
		t.Errorf("%q, %v", got, err)
	}
}
