// Package free finds addresses for the servers that tests start.
package free

import (
	"crypto/rand"
	"fmt"
	"net"
	"testing"
)

// Address returns a loopback address on which nobody listens. Its port is below those that the system gives to whoever asks for any: until the
// server is up, such a one might be given to another test.
func Address(t testing.TB) string {
	t.Helper()
	for range 100 {
		b := make([]byte, 2)
		_, _ = rand.Read(b) // never fails
		address := fmt.Sprintf("127.0.0.1:%d", 20000+(int(b[0])<<8|int(b[1]))%12000)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
