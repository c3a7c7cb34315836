package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// most is how many bytes one call moves.
const most = 1 << 20

type conn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func wrap(c *net.TCPConn) net.Conn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	return &conn{TCPConn: c, raw: raw}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	var errno syscall.Errno
	err = c.raw.Read(func(fd uintptr) bool {
		n, errno = read(fd, p[:min(len(p), most)])
		return errno != syscall.EAGAIN
	})
	switch {
	case err != nil || errno != 0:
		return 0, failure(c, "read", err, errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return c.TCPConn.Write(p)
	}
	var errno syscall.Errno
	err = c.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var some int
			if some, errno = write(fd, p[n:min(len(p), n+most)]); some == 0 {
				return errno != syscall.EAGAIN
			}
			n += some
		}
		return true
	})
	switch {
	case err != nil || errno != 0:
		return n, failure(c, "write", err, errno)
	case n < len(p):
		return n, failure(c, "write", io.ErrUnexpectedEOF, 0)
	}
	return n, nil
}

// failure is the error that net.TCPConn would have: err is that of the syscall.RawConn, which has names of its own for the operations, errno that
// of the system call.
func failure(c net.Conn, op string, err error, errno syscall.Errno) error {
	var e *net.OpError
	switch {
	case errors.As(err, &e):
		e.Op = op
		return e
	case err == nil:
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
