package azure

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// name tells the blocks of one upload from those of every other upload of the same key.
type name [10]byte

// idWidth is the shortest length of a block id: the name of the upload, four bytes that count its blocks, so that a part that
// is written again has a new one, and two bytes for the number of the part. Longer ids have zeros behind the name.
const idWidth = len(name{}) + 4 + 2

func newName() (n name) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}

func parseName(s string) (n name, ok bool) {
	p, err := hex.DecodeString(s)
	return n, err == nil && len(p) == len(n) && copy(n[:], p) == len(n)
}

func (n name) String() string { return hex.EncodeToString(n[:]) }

// block returns the id of block seq of an upload, which holds a part.
func (n name) block(seq uint32, part, width int) string {
	id := make([]byte, width)
	copy(id, n[:])
	binary.BigEndian.PutUint32(id[width-6:], seq)
	binary.BigEndian.PutUint16(id[width-2:], uint16(part)) // #nosec G115 -- at most 50,000
	return base64.StdEncoding.EncodeToString(id)
}

// parse is the reverse of block. ok is false for the blocks of others.
func (n name) parse(block string) (seq uint32, part, width int, ok bool) {
	id, err := base64.StdEncoding.DecodeString(block)
	if err != nil || len(id) < idWidth || name(id[:len(n)]) != n {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(id[len(id)-6:]), int(binary.BigEndian.Uint16(id[len(id)-2:])), len(id), true
}

// idLength is the number of bytes that a block id stands for; 0 if it is none.
func idLength(block string) int {
	id, err := base64.StdEncoding.DecodeString(block)
	if err != nil {
		return 0
	}
	return len(id)
}
