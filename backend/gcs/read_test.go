package gcs

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"sluice/backend"
)

// The checksum of the whole comes with the first byte, but not with those of a range.
func TestReadChecksum(t *testing.T) {
	c := newCloud(t)
	s := c.open(Config{})
	c.put("o", "content")
	for _, opts := range []backend.OpenOptions{{}, {Offset: 1}, {Length: 3}} {
		r, o, err := s.Open(t.Context(), "o", opts)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		sum := o.Checksums["CRC32C"]
		if whole := opts == (backend.OpenOptions{}); whole != (len(sum) == 4) || whole && binary.BigEndian.Uint32(sum) != crc32.Checksum([]byte("content"), castagnoli) {
			t.Errorf("%+v: %x", opts, o.Checksums)
		}
	}
}
