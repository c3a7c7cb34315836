package link

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bulk is how much is written at once.
	bulk = 256 << 10
	// grace is how long a write goes on when its body is closed. As long does net/http wait for it before it gives the connection up.
	grace = 50 * time.Millisecond
)

// Memory is the body of a request that lies in memory. Behind Close nobody looks at that memory any more, not even where the answer came
// before the end of the request.
type Memory struct {
	mu     sync.Mutex // held while left is looked at
	left   []byte
	closed atomic.Bool
	on     atomic.Pointer[conn] // that is being written to
}

// NewMemory returns a body of p.
func NewMemory(p []byte) *Memory { return &Memory{left: p} }

// Read implements io.Reader.
func (m *Memory) Read(p []byte) (int, error) {
	return m.take(int64(len(p)), func(some []byte) (int, error) { return copy(p, some), nil })
}

// take gives at most n bytes of what is left to f, which returns how many of them it has taken; io.EOF if there is nothing.
func (m *Memory) take(n int64, f func(some []byte) (int, error)) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.left) == 0:
		return 0, io.EOF // net/http notices where that came too early
	case m.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	}
	k, err := f(m.left[:min(n, int64(len(m.left)))])
	m.left = m.left[k:]
	return k, err
}

// send writes what is left, at most n bytes.
func (m *Memory) send(c *conn, n int64) (sent int64, err error) {
	m.on.Store(c)
	defer m.on.Store(nil)
	for sent < n && err == nil {
		var k int
		k, err = m.take(min(n-sent, bulk), c.Write)
		if k > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.aborted.Load() {
			err = nil // it moves, if slowly
		}
		sent += int64(k)
	}
	if err == io.EOF {
		err = nil
	}
	return sent, err
}

// Close implements io.Closer. A write that runs has a moment to come to its end; then the connection is given up.
func (m *Memory) Close() error {
	m.closed.Store(true)
	late := time.AfterFunc(grace, func() {
		if c := m.on.Load(); c != nil {
			c.abort()
		}
	})
	defer late.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = nil
	return nil
}
