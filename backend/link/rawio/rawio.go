// Package rawio has TCP connections that move large pieces with less of the runtime between them and the kernel. It knows neither stores
// nor FTP.
package rawio

import "net"

// Conn returns conn with Read and Write that do not tell the scheduler of their system calls. Their sockets do not block, so a call takes
// no longer than its copying; but where that is more than some 20 µs, as for 256 KiB, the runtime's monitor takes the goroutine for blocked,
// hands its processor to another thread and keeps watching, which cost a tenth of the CPU time of a large transfer. Everything
// else, errors and deadlines included, is as net.TCPConn has it. A connection that is no net.TCPConn, or on another system than Linux, is
// returned as it is.
func Conn(conn net.Conn) net.Conn {
	if c, ok := conn.(*net.TCPConn); ok {
		return wrap(c)
	}
	return conn
}
