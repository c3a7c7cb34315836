// Package idle breaks connections to a store on which nothing moves. The drivers dial with it; it knows no HTTP and no store.
package idle

import (
	"context"
	"net"
	"time"
)

// dial is that of net.Dialer.DialContext.
type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a dial whose connections fail, with os.ErrDeadlineExceeded, where nothing comes for as long as read, or nothing of what is
// written goes for as long as write. What is written counts for the reads too: the answer to an upload comes behind it, however slow the
// line is.
func Dial(d dial, read, write time.Duration) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{c, read, write}, nil
	}
}

type conn struct {
	net.Conn
	read, write time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.read)) // fails where Read does
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	now := time.Now()
	_ = c.SetWriteDeadline(now.Add(c.write)) // fails where Write does
	_ = c.SetReadDeadline(now.Add(c.read))
	return c.Conn.Write(p)
}
