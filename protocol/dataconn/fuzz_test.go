package dataconn

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"testing/iotest"
)

// FuzzHello: what is read is exactly what the handshake has to read again, however it arrives, and every ticket is a part of it.
func FuzzHello(f *testing.F) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f.Add(clientHello(version))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, h, err := readHello(bytes.NewReader(in))
		if !bytes.HasPrefix(in, raw) {
			t.Fatalf("%x was read of %x", raw, in)
		}
		again, same, errAgain := readHello(iotest.OneByteReader(bytes.NewReader(in)))
		if !bytes.Equal(again, raw) || len(same.tickets) != len(h.tickets) || same.x25519 != h.x25519 || (errAgain == nil) != (err == nil) {
			t.Fatalf("byte by byte: %x, %d tickets, %v", again, len(same.tickets), errAgain)
		}
		var body []byte // without the heads of records
		for p := raw; len(p) >= 5; {
			n := min(5+int(p[3])<<8+int(p[4]), len(p))
			body, p = append(body, p[5:n]...), p[n:]
		}
		for _, ticket := range h.tickets {
			if !bytes.Contains(body, ticket) {
				t.Fatalf("ticket %x is not in %x", ticket, raw)
			}
		}
	})
}

// clientHello is the first flight of a client.
func clientHello(version uint16) []byte {
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: "localhost", MaxVersion: version}).Handshake()
		_ = a.Close()
	}()
	p := make([]byte, 4096)
	n, _ := b.Read(p)
	_ = b.Close()
	return p[:n]
}
