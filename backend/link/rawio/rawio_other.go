//go:build !linux

package rawio

import "net"

func wrap(c *net.TCPConn) net.Conn { return c }
