package s3

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/backend"
)

// Only checksums of the whole object are told, and only on demand.
func TestKept(t *testing.T) {
	const (
		md5   = `"25f9e794323b453885f5181f1b624d0b"` // of 123456789, as are the others
		crc   = "y/Q5Jg=="
		crcC  = "4waSgw=="
		crc64 = "rosUhgp5mIg="
		sha   = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
	)
	for name, tc := range map[string]struct {
		header map[string]string
		want   string
	}{
		"nothing":          {map[string]string{"Etag": `"e"`}, ""},
		"plain ETag":       {map[string]string{"Etag": md5}, "MD5 25f9e794323b453885f5181f1b624d0b"},
		"ETag, SSE-S3":     {map[string]string{"Etag": md5, "X-Amz-Server-Side-Encryption": "AES256"}, "MD5 25f9e794323b453885f5181f1b624d0b"},
		"ETag, SSE-KMS":    {map[string]string{"Etag": md5, "X-Amz-Server-Side-Encryption": "aws:kms"}, ""},
		"ETag, DSSE-KMS":   {map[string]string{"Etag": md5, "X-Amz-Server-Side-Encryption": "aws:kms:dsse"}, ""},
		"ETag, SSE-C":      {map[string]string{"Etag": md5, "X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256"}, ""},
		"ETag of parts":    {map[string]string{"Etag": `"25f9e794323b453885f5181f1b624d0b-2"`}, ""},
		"CRC64NVME":        {map[string]string{"Etag": `"e-2"`, "X-Amz-Checksum-Type": "FULL_OBJECT", "X-Amz-Checksum-Crc64nvme": crc64}, "CRC64NVME ae8b14860a799888"},
		"CRC32":            {map[string]string{"Etag": `"e-2"`, "X-Amz-Checksum-Type": "FULL_OBJECT", "X-Amz-Checksum-Crc32": crc}, "CRC32 cbf43926"},
		"CRC32C":           {map[string]string{"Etag": `"e"`, "X-Amz-Checksum-Type": "FULL_OBJECT", "X-Amz-Checksum-Crc32c": crcC}, "CRC32C e3069283"},
		"SHA-256, no type": {map[string]string{"Etag": `"e"`, "X-Amz-Checksum-Sha256": sha}, "SHA-256 15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
		"of parts":         {map[string]string{"Etag": `"e-2"`, "X-Amz-Checksum-Type": "COMPOSITE", "X-Amz-Checksum-Crc32": crc}, ""},
		"parts, no type":   {map[string]string{"Etag": `"e-2"`, "X-Amz-Checksum-Crc32": crc}, ""},
		"number of parts":  {map[string]string{"Etag": `"e"`, "X-Amz-Checksum-Crc32": crc + "-2"}, ""},
		"wrong length":     {map[string]string{"Etag": `"e"`, "X-Amz-Checksum-Crc32": crc64}, ""},
	} {
		mode := ""
		s := wire(t, func(w http.ResponseWriter, r *http.Request) {
			mode = r.Header.Get("X-Amz-Checksum-Mode")
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			w.Header().Set("Content-Length", "9")
		}, Config{})
		o, err := s.Stat(t.Context(), "k")
		if err != nil || mode != "" || o.Checksums != nil {
			t.Errorf("%s, nobody asked: mode %q, %x, %v", name, mode, o.Checksums, err)
		}
		o, err = s.Stat(backend.WithChecksums(t.Context()), "k")
		var got []string
		for _, name := range slices.Sorted(maps.Keys(o.Checksums)) {
			got = append(got, fmt.Sprintf("%s %s", name, hex.EncodeToString(o.Checksums[name])))
		}
		if err != nil || mode != "ENABLED" || strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: mode %q, %q, %v; want %q", name, mode, got, err, tc.want)
		}
	}
}
