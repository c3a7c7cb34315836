package socket

import "net"

// InlineUrgent leaves urgent bytes in the stream: clients send the Telnet sequence in front of ABOR that way (RFC 959 4.1.3),
// and a byte taken out of the stream would tear that sequence apart.
func InlineUrgent(conn net.Conn) {
	if raw := of(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { _ = setInlineUrgent(fd) })
	}
}
