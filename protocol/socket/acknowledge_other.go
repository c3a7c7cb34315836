//go:build !linux

package socket

import "net"

// Acknowledge does nothing: other systems have no such switch for one connection.
func Acknowledge(net.Conn) {}
