package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/backend"
)

// BenchmarkWritePart sends parts of 8 MiB to a server that drops them. What it allocates does not grow with the part, and the
// part is read twice: for its checksum and for the network.
func BenchmarkWritePart(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"e"`)
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		}
	}))
	defer srv.Close()
	for _, algorithm := range []string{"crc64nvme", "md5", "none"} {
		b.Run(algorithm, func(b *testing.B) {
			s, err := Open(b.Context(), Config{
				Bucket: "bkt", Region: "us-east-1", Endpoint: srv.URL, PathStyle: true, AccessKey: "k", SecretKey: "s", Checksum: algorithm,
			})
			if err != nil {
				b.Fatal(err)
			}
			u, err := s.NewUpload(b.Context(), "k", backend.PutOptions{})
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 8<<20)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if err := u.WritePart(b.Context(), 1, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
