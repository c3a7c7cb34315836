package storetest

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // what stores keep
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"

	"sluice/backend"
)

// digests are the names of Object.Checksums.
var digests = map[string]func() hash.Hash{
	"CRC32":     func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"CRC64NVME": func() hash.Hash { return crc64nvme.New() },
	"MD5":       md5.New,
	"SHA-1":     sha1.New,
	"SHA-256":   sha256.New,
	"SHA-512":   sha512.New,
}

// testChecksums: a store need not keep any, but those that it tells are of the whole content, however the object was made.
func testChecksums(t *suite) {
	check := func(what, key string, p []byte) {
		t.Helper()
		o, err := t.s.Stat(backend.WithChecksums(t.Context()), key)
		if err != nil {
			t.Fatalf("Stat of what was %s: %v", what, err)
		}
		for name, sum := range o.Checksums {
			digest, ok := digests[name]
			if !ok {
				t.Errorf("%s: nobody knows a checksum of the name %q", what, name)
				continue
			}
			h := digest()
			h.Write(p)
			if !bytes.Equal(sum, h.Sum(nil)) {
				t.Errorf("%s: %s is %x, want %x", what, name, sum, h.Sum(nil))
			}
		}
	}
	p := pattern(1, 5000)
	t.put("o", p)
	check("put", "o", p)
	t.put("o", p[:77])
	check("replaced", "o", p[:77])
	t.put("empty", nil)
	check("empty", "empty", nil)
	if _, err := t.s.Copy(t.Context(), "copy", "o", backend.CopyOptions{}); err != nil {
		t.Fatalf("Copy: %v", err)
	}
	check("copied", "copy", p[:77])
	a := attributes()
	if _, err := t.s.Copy(t.Context(), "o", "o", backend.CopyOptions{Replace: &a}); err != nil {
		t.Fatalf("Copy onto itself: %v", err)
	}
	check("copied onto itself", "o", p[:77])
	u := t.upload("parts", backend.PutOptions{})
	first := t.part(2)
	t.write(u, 1, first)
	t.write(u, 2, p)
	t.commit(u, 2)
	check("written in parts", "parts", append(bytes.Clone(first), p...))
	u = t.upload("one part", backend.PutOptions{})
	t.write(u, 1, p)
	t.commit(u, 1)
	check("written in one part", "one part", p)
}
