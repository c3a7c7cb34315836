// Package socket asks of a TCP socket what net.Conn has no word for, below whatever has wrapped it. Where there is no socket it does nothing.
package socket

import (
	"net"
	"syscall"
)

// Prompt is a control connection on which a handshake of TLS is done: until that is over, what came is acknowledged before more is read. A client with
// Nagle's algorithm (RFC 896) sends the second piece of what ends a handshake only when the first is acknowledged, and with GnuTLS (lftp) there
// are two. A kernel takes its time for that: 40 ms on Linux. Package dataconn does the same below its own connections.
type Prompt struct {
	net.Conn
	Transport net.Conn // what Conn is at the bottom
	Over      bool     // set before another goroutine reads
}

// Read implements net.Conn.
func (c *Prompt) Read(p []byte) (int, error) {
	if !c.Over {
		Acknowledge(c.Transport)
	}
	return c.Conn.Read(p)
}

// of is the socket of conn, which a PROXY protocol listener may have wrapped; nil if there is none.
func of(conn net.Conn) syscall.RawConn {
	if c, ok := conn.(interface{ TCPConn() (*net.TCPConn, bool) }); ok {
		if below, ok := c.TCPConn(); ok {
			conn = below
		}
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
