package s3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sluice/backend"
)

// TestResumeOnWire: parts come page by page, and go into the commit as the store has them. Where one has no checksum, the whole
// gets none, and its size is checked instead.
func TestResumeOnWire(t *testing.T) {
	var commit string
	var whole http.Header
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodGet && q.Get("uploadId") != "up/1":
			fail(w, 404, "NoSuchUpload")
		case r.Method == http.MethodGet && q.Get("part-number-marker") == "":
			_, _ = fmt.Fprint(w, `<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>
				<Part><PartNumber>1</PartNumber><ETag>"a"</ETag><Size>7</Size><ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></Part></ListPartsResult>`)
		case r.Method == http.MethodGet:
			_, _ = fmt.Fprintf(w, `<ListPartsResult><IsTruncated>false</IsTruncated>
				<Part><PartNumber>3</PartNumber><ETag>"c%s"</ETag><Size>5</Size></Part></ListPartsResult>`, q.Get("part-number-marker"))
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"b"`)
		case r.Method == http.MethodPost:
			p, _ := io.ReadAll(r.Body)
			commit, whole = string(p), r.Header
			_, _ = fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
		case r.Method == http.MethodHead:
			w.Header().Set("ETag", `"whole"`)
			w.Header().Set("Content-Length", "16")
		}
	}, Config{})
	if _, err := s.ResumeUpload(t.Context(), "k", "other", backend.PutOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("unknown upload: %v", err)
	}
	u, err := s.ResumeUpload(t.Context(), "k", "up/1", backend.PutOptions{If: backend.Condition{Absent: true}})
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := u.Parts(t.Context()); err != nil || fmt.Sprint(parts) != "[{1 7} {3 5}]" || u.ID() != "up/1" {
		t.Errorf("parts %v, %v", parts, err)
	}
	if err := u.WritePart(t.Context(), 2, []byte("four")); err != nil {
		t.Fatal(err)
	}
	o, err := u.Commit(t.Context(), 3)
	if err != nil || o.Size != 16 {
		t.Fatalf("commit: %+v, %v", o, err)
	}
	for i, etag := range []string{"a", "b", "c1"} {
		if !strings.Contains(commit, fmt.Sprintf("&#34;%s&#34;", etag)) && !strings.Contains(commit, fmt.Sprintf("&quot;%s&quot;", etag)) && !strings.Contains(commit, `"`+etag+`"`) {
			t.Errorf("part %d is not committed as the store has it: %s", i+1, commit)
		}
	}
	if whole.Get("X-Amz-Checksum-Crc64nvme") != "" || whole.Get("X-Amz-Mp-Object-Size") != "16" || whole.Get("If-None-Match") != "*" {
		t.Errorf("commit says %v", whole)
	}
}
