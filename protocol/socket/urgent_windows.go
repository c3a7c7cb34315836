package socket

import "syscall"

// soOOBInline is SO_OOBINLINE of winsock2.h, which package syscall does not name.
const soOOBInline = 0x0100

func setInlineUrgent(fd uintptr) error {
	return syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, soOOBInline, 1)
}
