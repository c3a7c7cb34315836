package dataconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"sluice/protocol/socket"
)

// lingering is how long a finished download waits for the client's end of the connection. Closing earlier, with the
// client's close_notify unread, would make the kernel send a reset that can destroy bytes still on their way.
const lingering = 2 * time.Second

// Conn is a data connection that is up. Its Read tells a proper end of the stream from a cut-off one.
type Conn struct {
	raw     *rawConn
	tls     *tls.Conn // nil in clear
	resumed bool
	lenient bool
	stall   time.Duration
	moved   time.Time // when the deadline was set last
	ended   bool      // the client has ended its side properly
	reads   int
}

// quickReads is how many reads are acknowledged at once. A client that sends a small file, and with Nagle's algorithm its
// close_notify only when that is acknowledged, would wait out the 40 ms of a delayed acknowledgement otherwise.
const quickReads = 8

// handshake makes a Conn of a raw connection: TLS with the configuration cfg, or clear where cfg is nil.
func handshake(ctx context.Context, raw *rawConn, cfg *tls.Config) (*Conn, error) {
	c := &Conn{raw: raw}
	if cfg == nil {
		return c, nil
	}
	c.tls = tls.Server(raw, cfg)
	raw.prompt = true // see socket.Prompt
	err := c.tls.HandshakeContext(ctx)
	raw.prompt = false
	if err != nil {
		return nil, fmt.Errorf("data connection handshake: %w", err)
	}
	c.resumed = c.tls.ConnectionState().DidResume
	socket.Acknowledge(raw.Conn)
	return c, nil
}

// SetPolicy says whether a stream that ends without close_notify counts as whole (lenient, for old clients that never send
// one), and after how long without a byte a Read or Write fails; 0 is never.
func (c *Conn) SetPolicy(lenient bool, stall time.Duration) { c.lenient, c.stall = lenient, stall }

// Protected reports whether the connection is under TLS.
func (c *Conn) Protected() bool { return c.tls != nil }

// Resumed reports whether the connection resumed the session of its control connection.
func (c *Conn) Resumed() bool { return c.resumed }

// extend moves the stall deadline, at most once a second since setting it costs more than a small read.
func (c *Conn) extend() {
	if c.stall <= 0 {
		return
	}
	if now := time.Now(); now.Sub(c.moved) >= min(time.Second, c.stall/4) {
		c.moved = now
		_ = c.raw.SetDeadline(now.Add(c.stall))
	}
}

// Read reads what the client sends. It returns io.EOF only where the stream ended properly: close_notify under TLS, FIN in
// clear. Every other end is an error that wraps ErrCutOff.
func (c *Conn) Read(p []byte) (int, error) {
	c.extend()
	var n int
	var err error
	if c.tls == nil {
		n, err = c.raw.Read(p)
		c.ended = err == io.EOF
	} else {
		n, err = c.tls.Read(p)
		if c.reads++; c.reads <= quickReads && err == nil {
			socket.Acknowledge(c.raw.Conn)
		}
		fin := c.raw.eof.Load()
		c.ended = err == io.EOF && !fin || c.lenient && fin && (err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF))
	}
	switch {
	case err == nil:
	case c.ended:
		err = io.EOF
	case err == io.EOF:
		err = fmt.Errorf("%w: no close_notify", ErrCutOff)
	default:
		err = cutOff(err)
	}
	return n, err
}

func cutOff(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return fmt.Errorf("%w: %w", ErrCutOff, err)
}

// Write sends p. An error wraps ErrCutOff.
func (c *Conn) Write(p []byte) (int, error) {
	c.extend()
	var n int
	var err error
	if c.tls == nil {
		n, err = c.raw.Write(p)
	} else {
		write := func() (int, error) { return c.tls.Write(p) }
		if len(p) > record {
			n, err = c.raw.gather(write)
		} else {
			n, err = write()
		}
	}
	if err != nil {
		err = cutOff(err)
	}
	return n, err
}

// Close ends the connection properly: close_notify and FIN go behind what was written, and unless the client has ended its
// side already, that is awaited for a short while. It fails if the end could not be sent.
func (c *Conn) Close() error {
	c.raw.drop()
	_ = c.raw.SetDeadline(time.Now().Add(lingering))
	var err error
	if c.tls != nil {
		err = c.tls.CloseWrite()
	}
	if half := tcpConn(c.raw.Conn); half != nil && !c.ended {
		if e := half.CloseWrite(); err == nil {
			err = e
		}
		if err == nil && !c.raw.eof.Load() {
			_, _ = io.Copy(io.Discard, io.LimitReader(c.raw.Conn, 1<<20))
		}
	}
	if e := c.raw.Close(); err == nil && !errors.Is(e, net.ErrClosed) {
		err = e
	}
	if err != nil {
		return cutOff(err)
	}
	return nil
}

// Abort ends the connection at once and without close_notify, so that the client cannot take what it has got for the
// whole. It may be called at any time and from any goroutine.
func (c *Conn) Abort() {
	c.raw.aborted.Store(true)
	c.raw.stand()
	abort(c.raw.Conn)
}

func abort(conn net.Conn) {
	if c := tcpConn(conn); c != nil {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}

// tcp is what a TCP connection can do besides net.Conn.
type tcp interface {
	CloseWrite() error
	SetLinger(sec int) error
}

// tcpConn is the TCP connection below conn, which a PROXY protocol listener may have wrapped; nil if there is none.
func tcpConn(conn net.Conn) tcp {
	switch c := conn.(type) {
	case tcp:
		return c
	case interface{ TCPConn() (*net.TCPConn, bool) }:
		if c, ok := c.TCPConn(); ok {
			return c
		}
	}
	return nil
}
