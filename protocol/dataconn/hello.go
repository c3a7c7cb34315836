package dataconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
)

// maxHello bounds a ClientHello; the largest seen in practice, with post-quantum key shares, is under 2 KiB.
const maxHello = 16 << 10

const (
	extSessionTicket = 35 // RFC 5077
	extPreSharedKey  = 41 // RFC 8446 4.2.11
	extKeyShare      = 51 // RFC 8446 4.2.8
)

var errHello = errors.New("no TLS ClientHello")

// hello is what a ClientHello offers.
type hello struct {
	tickets [][]byte
	x25519  bool // a key share of X25519
}

// readHello reads the ClientHello that r begins with, and returns the bytes that it took, for the handshake to read them
// again, and what the client offers.
func readHello(r io.Reader) (raw []byte, h hello, err error) {
	var msg []byte
	for len(msg) < 4 || len(msg) < 4+bodyLen(msg) {
		start := len(raw)
		raw = append(raw, make([]byte, 5)...)
		if n, err := io.ReadFull(r, raw[start:]); err != nil {
			return raw[:start+n], hello{}, err
		}
		head := raw[start:]
		length := int(head[3])<<8 | int(head[4])
		if head[0] != 22 || head[1] != 3 || length == 0 || len(msg)+length > maxHello {
			return raw, hello{}, errHello
		}
		start = len(raw)
		raw = append(raw, make([]byte, length)...)
		if n, err := io.ReadFull(r, raw[start:]); err != nil {
			return raw[:start+n], hello{}, err
		}
		msg = append(msg, raw[start:]...)
		if msg[0] != 1 || len(msg) >= 4 && bodyLen(msg) > maxHello {
			return raw, hello{}, errHello
		}
	}
	h, err = parseHello(msg[4 : 4+bodyLen(msg)])
	return raw, h, err
}

func bodyLen(msg []byte) int { return int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3]) }

// parseHello reads the body of a ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2).
func parseHello(body []byte) (h hello, err error) {
	s := cryptobyte.String(body)
	var session, suites, compression, exts cryptobyte.String
	if !s.Skip(2+32) || !s.ReadUint8LengthPrefixed(&session) || !s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compression) {
		return hello{}, errHello
	}
	if s.Empty() {
		return h, nil // no extensions at all: TLS 1.2 permits it
	}
	if !s.ReadUint16LengthPrefixed(&exts) || !s.Empty() {
		return hello{}, errHello
	}
	for !exts.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !exts.ReadUint16(&kind) || !exts.ReadUint16LengthPrefixed(&data) {
			return hello{}, errHello
		}
		switch kind {
		case extSessionTicket:
			if len(data) > 0 {
				h.tickets = append(h.tickets, data)
			}
		case extPreSharedKey:
			var ids cryptobyte.String
			if !data.ReadUint16LengthPrefixed(&ids) {
				return hello{}, fmt.Errorf("pre-shared key: %w", errHello)
			}
			for !ids.Empty() {
				var identity cryptobyte.String
				var age uint32
				if !ids.ReadUint16LengthPrefixed(&identity) || !ids.ReadUint32(&age) {
					return hello{}, fmt.Errorf("pre-shared key: %w", errHello)
				}
				h.tickets = append(h.tickets, identity)
			}
		case extKeyShare:
			var shares cryptobyte.String
			if !data.ReadUint16LengthPrefixed(&shares) {
				return hello{}, fmt.Errorf("key share: %w", errHello)
			}
			for !shares.Empty() {
				var group uint16
				var key cryptobyte.String
				if !shares.ReadUint16(&group) || !shares.ReadUint16LengthPrefixed(&key) {
					return hello{}, fmt.Errorf("key share: %w", errHello)
				}
				h.x25519 = h.x25519 || group == uint16(tls.X25519)
			}
		}
	}
	return h, nil
}
