// Package wiretest runs an FTP server on a network in memory and holds recorded dialogues against it. It is for tests.
package wiretest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network is a network in memory whose connections behave like TCP: buffered, with half-close and reset. It works inside a
// synctest bubble, since nothing in it blocks outside of one.
type Network struct {
	mu        sync.Mutex
	listeners map[int]*listener
	next      uint16
}

// NewNetwork returns an empty network.
func NewNetwork() *Network {
	return &Network{listeners: map[int]*listener{}, next: 50000}
}

// Listen listens on the port of a "host:port" address; every host of the network is the same machine.
func (n *Network) Listen(_, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[number] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &listener{network: n, port: number, conns: make(chan net.Conn, 64), closed: make(chan struct{})}
	n.listeners[number] = l
	return l, nil
}

// Dial connects from an address to a port on another.
func (n *Network) Dial(from, to netip.Addr, port int) (*Conn, error) {
	n.mu.Lock()
	l := n.listeners[port]
	n.next++
	local := netip.AddrPortFrom(from, n.next)
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	a, b := newHalf(), newHalf()
	remote := netip.AddrPortFrom(to, uint16(port))
	client := &Conn{in: a, out: b, local: local, remote: remote}
	server := &Conn{in: b, out: a, local: remote, remote: local}
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
}

type listener struct {
	network *Network
	port    int
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.port)
	})
	return nil
}

func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(l.port)))
}

// window is how many bytes one direction of a connection holds before a Write waits.
const window = 256 << 10

// half is one direction of a connection.
type half struct {
	mu      sync.Mutex
	buf     []byte
	end     error // after buf: io.EOF or a reset
	changed chan struct{}
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

// signal wakes everybody who waits; mu is held.
func (h *half) signal() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// finish ends the direction; a reset drops what has not been read.
func (h *half) finish(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil || err != io.EOF {
		h.end = err
	}
	if err != io.EOF {
		h.buf = nil
	}
	h.signal()
}

// Conn is one end of a connection.
type Conn struct {
	in, out       *half
	local, remote netip.AddrPort
	read, write   deadline

	mu     sync.Mutex
	closed bool
	linger bool // Close resets
	eof    bool // Read has returned io.EOF
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.isClosed() {
			return 0, net.ErrClosed
		}
		c.in.mu.Lock()
		if len(c.in.buf) > 0 {
			n := copy(p, c.in.buf)
			c.in.buf = c.in.buf[n:]
			c.in.signal()
			c.in.mu.Unlock()
			return n, nil
		}
		end, changed := c.in.end, c.in.changed
		c.in.mu.Unlock()
		if end != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.eof = c.eof || end == io.EOF
			return 0, end
		}
		select {
		case <-changed:
		case <-c.read.wait():
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if c.isClosed() {
			return n, net.ErrClosed
		}
		c.out.mu.Lock()
		end, changed := c.out.end, c.out.changed
		if free := window - len(c.out.buf); end == nil && free > 0 {
			m := min(free, len(p))
			c.out.buf = append(c.out.buf, p[:m]...)
			c.out.signal()
			c.out.mu.Unlock()
			n, p = n+m, p[m:]
			continue
		}
		c.out.mu.Unlock()
		if end != nil {
			return n, syscall.EPIPE
		}
		select {
		case <-changed:
		case <-c.write.wait():
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, nil
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// CloseWrite sends FIN.
func (c *Conn) CloseWrite() error {
	c.out.finish(io.EOF)
	return nil
}

// SetLinger makes Close send RST if sec is 0.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linger = sec == 0
	return nil
}

// Close sends FIN, or RST if bytes of the peer are unread, as a kernel does.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	reset := c.linger
	c.mu.Unlock()
	c.in.mu.Lock()
	reset = reset || len(c.in.buf) > 0
	c.in.mu.Unlock()
	if reset {
		c.out.finish(syscall.ECONNRESET)
	} else {
		c.out.finish(io.EOF)
	}
	c.in.finish(net.ErrClosed) // wakes our own readers, and stops the peer's writers
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return nil
}

// deadline is a channel that is closed when a time has come.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	ch    chan struct{}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	return d.ch
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	select {
	case <-d.ch: // it had come; whoever waits from now on waits for the new one
		d.ch = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	ch := d.ch
	wait := time.Until(t)
	if wait <= 0 {
		close(ch)
		return
	}
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		select {
		case <-ch:
		default:
			close(ch)
		}
	})
}
