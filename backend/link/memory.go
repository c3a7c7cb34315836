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
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.left) == 0:
		return 0, io.EOF // net/http notices where that came too early
	case m.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, m.left)
	m.left = m.left[n:]
	return n, nil
}

// send writes what is left, at most n bytes.
func (m *Memory) send(c *conn, n int64) (sent int64, err error) {
	m.on.Store(c)
	defer m.on.Store(nil)
	for sent < n && err == nil {
		var k int
		k, err = m.piece(c, n-sent)
		sent += int64(k)
	}
	if err == io.EOF {
		err = nil
	}
	return sent, err
}

// piece writes some of what is left, at most n bytes; io.EOF if there is nothing.
func (m *Memory) piece(c *conn, n int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.left) == 0:
		return 0, io.EOF // net/http notices where that came too early
	case m.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	}
	k, err := c.Write(m.left[:min(n, bulk, int64(len(m.left)))])
	if m.left = m.left[k:]; k > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.aborted.Load() {
		err = nil // it moves, if slowly
	}
	return k, err
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
