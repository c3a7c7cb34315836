// Package link has the connections of the drivers to their stores: they break where nothing moves on them, and send a body that lies in
// memory from there. It knows no store.
package link

import (
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"sluice/backend/link/rawio"
)

// DialFunc is the type of net.Dialer.DialContext.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a DialFunc whose connections fail, with os.ErrDeadlineExceeded, where nothing comes for as long as read, or nothing of what is
// written goes for as long as write. What is written counts for the reads too: the answer to an upload comes behind it, however slow the
// line is.
func Dial(d DialFunc, read, write time.Duration) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: rawio.Conn(c), read: read, write: write}, nil
	}
}

type conn struct {
	net.Conn
	read, write time.Duration
	aborted     atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.read)) // fails where Read does
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	now := time.Now()
	_ = c.SetWriteDeadline(now.Add(c.write)) // fails where Write does
	_ = c.SetReadDeadline(now.Add(c.read))
	if c.aborted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Write(p)
}

// abort ends the Write that runs, and those that follow.
func (c *conn) abort() {
	c.aborted.Store(true)
	_ = c.SetWriteDeadline(time.Now())
}

// ReadFrom implements io.ReaderFrom. A Memory, which net/http gives it as an io.LimitedReader, is written from where it lies.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if m, ok := l.R.(*Memory); ok {
			n, err = m.send(c, l.N)
			l.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}
