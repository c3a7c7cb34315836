package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

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

// call is read(2) or write(2), begun again where a signal interrupts it.
func call(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func (c *conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var errno syscall.Errno
	err = c.raw.Read(func(fd uintptr) bool {
		n, errno = call(syscall.SYS_READ, fd, p)
		return errno != syscall.EAGAIN
	})
	if err == nil && errno == 0 && n == 0 {
		return 0, io.EOF
	}
	return n, c.failure("read", err, errno)
}

func (c *conn) Write(p []byte) (n int, err error) {
	var errno syscall.Errno
	err = c.raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			var some int
			if some, errno = call(syscall.SYS_WRITE, fd, p[n:]); errno != 0 {
				break
			}
			n += some
		}
		return errno != syscall.EAGAIN
	})
	return n, c.failure("write", err, errno)
}

// failure is the error that net.TCPConn would have: err is that of the syscall.RawConn, errno that of the system call.
func (c *conn) failure(op string, err error, errno syscall.Errno) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err // RawConn has names of its own for the operations
	}
	if err == nil {
		if errno == 0 {
			return nil
		}
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
