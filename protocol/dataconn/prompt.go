package dataconn

import "net"

// Prompt is a connection on which a handshake of TLS is done: until that is over, it acknowledges at once what it reads. Clients with Nagle's
// algorithm (RFC 896) send the second piece of what ends a handshake only when the first is acknowledged, and those with GnuTLS have two (FileZilla,
// lftp). A kernel takes its time for that: 40 ms on Linux.
type Prompt struct {
	net.Conn
	Transport net.Conn // what Conn is at the bottom
	Over      bool     // set by the goroutine that reads
}

// Read implements net.Conn.
func (c *Prompt) Read(p []byte) (int, error) {
	if !c.Over {
		acknowledge(c.Transport)
	}
	return c.Conn.Read(p)
}
