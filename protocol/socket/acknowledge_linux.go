package socket

import (
	"net"

	"golang.org/x/sys/unix"
)

// Acknowledge has the kernel acknowledge what has come without delay (tcp(7), TCP_QUICKACK). It is not for long.
func Acknowledge(conn net.Conn) {
	if raw := of(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
