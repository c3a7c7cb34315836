package transfer

import (
	"bytes"
	"fmt"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"

	"sluice/backend"
)

// verifier compares what is read with a checksum, such as the store keeps of a whole object. Those that are cryptographic cost too much.
type verifier struct {
	hash.Hash
	name string
	want []byte
}

// verify returns the verifier of an object, nil where the store has told no checksum.
func verify(obj backend.Object) *verifier {
	for _, c := range []struct {
		name string
		make func() hash.Hash
	}{
		{"CRC64NVME", func() hash.Hash { return crc64nvme.New() }},
		{"CRC32C", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
		{"CRC32", func() hash.Hash { return crc32.NewIEEE() }},
	} {
		if want := obj.Checksums[c.name]; len(want) > 0 {
			return &verifier{c.make(), c.name, want}
		}
	}
	return nil
}

// check is called behind the last byte. What was damaged on the way is an ErrUnavailable.
func (v *verifier) check() error {
	if got := v.Sum(nil); !bytes.Equal(got, v.want) {
		return fmt.Errorf("%s is %x, want %x: %w", v.name, got, v.want, backend.ErrUnavailable)
	}
	return nil
}
