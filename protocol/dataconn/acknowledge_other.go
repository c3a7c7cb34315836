//go:build !linux

package dataconn

import "net"

// acknowledge does nothing: other systems have no such switch for one connection.
func acknowledge(net.Conn) {}
