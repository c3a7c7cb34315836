// Package rawio has TCP connections that move large pieces with less of the runtime between them and the kernel. It knows neither stores
// nor FTP.
package rawio

import "net"

// Conn returns conn with Read and Write that do not tell the scheduler of their system calls. Their sockets do not block; but where a call takes
// more than some 20 µs, as for 256 KiB, the runtime's monitor may take the goroutine for blocked and hand its processor to another thread,
// and keeps watching for more: a sixth of the CPU time of a large upload. The price is that nobody else has the processor for as long as a
// call lasts, the garbage collector's stop of the world included; so no call is of more than 1 MiB, and none sleeps but where memory is short.
//
// Everything else, errors and deadlines included, is as net.TCPConn has it. A connection that is no net.TCPConn, such as one behind a
// PROXY header, or on another system than Linux, is returned as it is.
func Conn(conn net.Conn) net.Conn {
	if c, ok := conn.(*net.TCPConn); ok {
		return wrap(c)
	}
	return conn
}
