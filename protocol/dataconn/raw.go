package dataconn

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// rawConn is the connection below TLS. It notes whether the transport itself came to its end: crypto/tls reports a FIN without
// close_notify at a record boundary as plain io.EOF, which is what a truncation attack looks like. And it moves several records
// in one system call, where crypto/tls has one for each.
type rawConn struct {
	net.Conn
	eof atomic.Bool

	in       []byte  // has been received and not been read
	received int64   // bytes
	more     bool    // the last bytes came so fast that there are more
	bulk     *[]byte // what in is in, nil most of the time

	out    *[]byte // what has been written and not been sent; nil: nothing is held back
	failed error   // what sending failed with: nothing can follow
}

const (
	record = 16 << 10 // bytes in a TLS record (RFC 8446 5.1)
	// A client that has sent so much, and sends faster than it is read, is read by up to bulkSize at once.
	bulkFrom = 1 << 20
	bulkSize = 128 << 10
	// outSize is four records, with what is around them.
	outSize = 4 * (record + 256)
)

var (
	bulks = sync.Pool{New: func() any { b := make([]byte, bulkSize); return &b }}
	outs  = sync.Pool{New: func() any { b := make([]byte, 0, outSize); return &b }}
)

func (c *rawConn) Read(p []byte) (n int, err error) {
	if len(c.in) == 0 {
		if !c.more {
			c.drop()
			n, err = c.receive(p)
			c.more = n == len(p) && n >= record && c.received >= bulkFrom
			return n, err
		}
		if c.bulk == nil {
			c.bulk = bulks.Get().(*[]byte)
		}
		n, err = c.receive(*c.bulk)
		c.in, c.more = (*c.bulk)[:n], n > record
	}
	n = copy(p, c.in)
	c.in = c.in[n:]
	return n, err
}

// receive reads from the transport.
func (c *rawConn) receive(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received += int64(n)
	if err == io.EOF {
		c.eof.Store(true)
	}
	return n, err
}

// drop gives back the buffer of what was received.
func (c *rawConn) drop() {
	if c.bulk != nil {
		bulks.Put(c.bulk)
		c.in, c.bulk = nil, nil
	}
}

func (c *rawConn) Write(p []byte) (int, error) {
	if c.out == nil {
		return c.send(p)
	}
	if len(*c.out)+len(p) > cap(*c.out) {
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

// gather sends what write writes in as few steps as can be, and all of it before it returns. Nobody else may use the connection meanwhile but
// to close it.
func (c *rawConn) gather(write func() (int, error)) (int, error) {
	c.out = outs.Get().(*[]byte)
	n, err := write()
	if e := c.flush(); err == nil {
		err = e
	}
	outs.Put(c.out)
	c.out = nil
	return n, err
}
