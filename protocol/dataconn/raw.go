package dataconn

import (
	"io"
	"net"
	"sync"
	"sync/atomic"

	"sluice/protocol/socket"
)

// rawConn is the connection below TLS. It notes whether the transport itself came to its end: crypto/tls reports a FIN without
// close_notify at a record boundary as plain io.EOF, which is what a truncation attack looks like. And it moves several records
// in one system call, where crypto/tls has one for each.
type rawConn struct {
	net.Conn
	eof atomic.Bool

	in       []byte  // has been received and not been read
	received int64   // bytes
	fast     bool    // there was more than a record to receive, or all that was asked for
	prompt   bool    // what came is acknowledged before more is read
	bulk     *[]byte // what in is in, nil most of the time

	out    *[]byte // what has been written and not been sent; nil: nothing is held back
	failed error   // what sending failed with: nothing can follow

	aborted atomic.Bool
	seated  atomic.Bool // has a seat of bulks
}

const (
	record = 16 << 10 // bytes in a TLS record (RFC 8446 5.1)
	// A client that has sent so much, and sends faster than it is read, is read by up to bulkSize at once.
	bulkFrom = 1 << 20
	bulkSize = 256 << 10
	// outSize is four records, with what is around them.
	outSize = 4 * (record + 256)
)

// buffers are some of a size, and no more: whoever finds none can do without. A connection that stands still keeps what it has.
type buffers struct {
	most, taken atomic.Int64
	pool        sync.Pool
}

func newBuffers(most int64, size int) *buffers {
	b := &buffers{pool: sync.Pool{New: func() any { p := make([]byte, size); return &p }}}
	b.most.Store(most)
	return b
}

// take reports whether one of the seats was free, and takes it.
func (b *buffers) take() bool {
	if b.taken.Add(1) > b.most.Load() {
		b.taken.Add(-1)
		return false
	}
	return true
}

func (b *buffers) leave() { b.taken.Add(-1) }

var (
	bulks = newBuffers(32, bulkSize) // 8 MiB
	outs  = newBuffers(256, outSize) // 16 MiB
)

func (c *rawConn) Read(p []byte) (n int, err error) {
	if len(c.in) == 0 {
		if !c.fast || len(p) >= bulkSize || !c.sit() {
			c.drop()
			n, err = c.receive(p)
			c.fast = n == len(p) && n >= record && c.received >= bulkFrom
			return n, err
		}
		n, err = c.receive(*c.bulk)
		c.in, c.fast = (*c.bulk)[:n], n > record
		if n == 0 {
			c.drop()
		}
	}
	n = copy(p, c.in)
	c.in = c.in[n:]
	return n, err
}

// sit gets the connection a buffer to receive in, if it has none and there is one.
func (c *rawConn) sit() bool {
	if c.bulk != nil {
		return true
	}
	if !bulks.take() {
		return false
	}
	c.seated.Store(true)
	if c.aborted.Load() {
		c.stand()
	}
	c.bulk = bulks.pool.Get().(*[]byte)
	return true
}

// stand lets somebody else have a buffer. It may be called from any goroutine, and the buffer be used to the end.
func (c *rawConn) stand() {
	if c.seated.CompareAndSwap(true, false) {
		bulks.leave()
	}
}

// drop gives back the buffer of what was received.
func (c *rawConn) drop() {
	c.in = nil
	if c.bulk != nil {
		bulks.pool.Put(c.bulk)
		c.bulk = nil
		c.stand()
	}
}

// receive reads from the transport.
func (c *rawConn) receive(p []byte) (int, error) {
	if c.prompt {
		socket.Acknowledge(c.Conn)
	}
	n, err := c.Conn.Read(p)
	c.received += int64(n)
	if err == io.EOF {
		c.eof.Store(true)
	}
	return n, err
}

func (c *rawConn) Write(p []byte) (int, error) {
	if c.out == nil {
		return c.send(p)
	}
	if len(*c.out)+len(p) > outSize {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	*c.out = append(*c.out, p...)
	return len(p), nil
}

// send writes to the transport, unless that failed before: the stream would have a gap.
func (c *rawConn) send(p []byte) (n int, err error) {
	if c.failed == nil {
		n, c.failed = c.Conn.Write(p)
	}
	return n, c.failed
}

func (c *rawConn) flush() error {
	_, err := c.send(*c.out)
	*c.out = (*c.out)[:0]
	return err
}

// gather sends what write writes in as few steps as can be, and all of it before it returns. Nobody else may use the connection
// meanwhile but to close it. Where it fails it is not known what has left.
func (c *rawConn) gather(write func() (int, error)) (int, error) {
	if !outs.take() {
		return write()
	}
	c.out = outs.pool.Get().(*[]byte)
	*c.out = (*c.out)[:0]
	defer func() {
		outs.pool.Put(c.out)
		c.out = nil
		outs.leave()
	}()
	n, err := write()
	if e := c.flush(); e != nil {
		return 0, e
	}
	return n, err
}
