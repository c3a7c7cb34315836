package rawio

import (
	"net"
	"testing"
)

// What is no TCP connection stays what it is.
func TestOther(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if Conn(near) != near {
		t.Error("a pipe is not itself any more")
	}
}
