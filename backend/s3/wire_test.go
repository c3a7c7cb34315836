package s3

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// wire returns a store whose server is h.
func wire(t *testing.T, h http.HandlerFunc, cfg Config) *Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg.Endpoint = srv.URL
	return connect(t, cfg)
}

func connect(t *testing.T, cfg Config) *Store {
	t.Helper()
	cfg.Bucket, cfg.Region, cfg.PathStyle, cfg.AccessKey, cfg.SecretKey = "bkt", "us-east-1", true, "AKID", "the secret"
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fail answers with an error as S3 writes it.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>no</Message><RequestId>1</RequestId></Error>", code)
}

// TestPutOnWire: a body goes once, in one piece, with the one checksum that was asked for and without a hash of the SDK.
func TestPutOnWire(t *testing.T) {
	const body = "123456789"
	for algorithm, want := range map[string]string{
		"":          "X-Amz-Checksum-Crc64nvme: rosUhgp5mIg=", // the check value of CRC-64/NVME, ae8b14860a799888
		"crc64nvme": "X-Amz-Checksum-Crc64nvme: rosUhgp5mIg=",
		"crc32":     "X-Amz-Checksum-Crc32: y/Q5Jg==",  // cbf43926
		"crc32c":    "X-Amz-Checksum-Crc32c: 4waSgw==", // e3069283
		"md5":       "Content-Md5: JfnnlDI7RTiF9RgfG2JNCw==",
		"none":      "",
	} {
		var got http.Header
		var sent []byte
		s := wire(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			sent, _ = io.ReadAll(r.Body)
			w.Header().Set("ETag", `"e"`)
		}, Config{Checksum: algorithm})
		o, err := s.Put(t.Context(), "k", []byte(body), backend.PutOptions{
			If:         backend.Condition{Absent: true},
			Attributes: backend.Attributes{ModTime: time.Unix(-2, 5e8), Metadata: map[string]string{"note": "grün"}},
		})
		if err != nil || o.ETag != `"e"` || string(sent) != body {
			t.Fatalf("%s: %+v, %v, sent %q", algorithm, o, err, sent)
		}
		var sums []string
		for name, v := range got {
			if strings.HasPrefix(name, "X-Amz-Checksum-") || name == "Content-Md5" {
				sums = append(sums, name+": "+v[0])
			}
		}
		if strings.Join(sums, ",") != want {
			t.Errorf("%s: checksums %q, want %q", algorithm, sums, want)
		}
		for name, want := range map[string]string{
			"Content-Encoding": "", "X-Amz-Trailer": "", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "If-None-Match": "*",
			"X-Amz-Meta-Mtime": "-1.500000000", "X-Amz-Meta-Note": "=?UTF-8?b?Z3LDvG4=?=", "Content-Type": "application/octet-stream",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", algorithm, name, got.Get(name), want)
			}
		}
	}
}

// TestErrorsOnWire goes through what a server may answer that versitygw never does.
func TestErrorsOnWire(t *testing.T) {
	stat := func(s *Store) error { _, err := s.Stat(t.Context(), "k"); return err }
	open := func(s *Store) error {
		_, _, err := s.Open(t.Context(), "k", backend.OpenOptions{ETag: `"e"`})
		return err
	}
	copied := func(s *Store) error {
		_, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{If: backend.Condition{Absent: true}})
		return err
	}
	for _, tc := range []struct {
		status int
		code   string
		call   func(*Store) error
		want   error
	}{
		{403, "InvalidObjectState", open, backend.ErrArchived},
		{403, "AccessDenied", open, backend.ErrPermission},
		{403, "", stat, backend.ErrPermission},
		{404, "", stat, backend.ErrNotExist},
		{404, "NoSuchKey", open, backend.ErrNotExist},
		{404, "NoSuchBucket", open, backend.ErrUnavailable},
		{412, "PreconditionFailed", open, backend.ErrChanged},
		{412, "PreconditionFailed", copied, backend.ErrChanged},
		{400, "KeyTooLongError", copied, backend.ErrBadKey},
		{501, "NotImplemented", copied, backend.ErrUnsupported},
	} {
		var seen http.Header
		s := wire(t, func(w http.ResponseWriter, r *http.Request) {
			seen = r.Header
			if r.Method == http.MethodHead {
				w.WriteHeader(tc.status)
				return
			}
			fail(w, tc.status, tc.code)
		}, Config{})
		s.client = patient(s, 1)
		err := tc.call(s)
		if !errors.Is(err, tc.want) {
			t.Errorf("%d %s: %v, want %v", tc.status, tc.code, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "the secret") {
			t.Errorf("%d %s: the error tells the key: %v", tc.status, tc.code, err)
		}
		if seen.Get("X-Amz-Copy-Source") != "" && seen.Get("If-None-Match") != "*" {
			t.Errorf("the copy went without its condition: %v", seen)
		}
	}
}

// TestBodyCut: a body that ends early is an error, after the bytes that came.
func TestBodyCut(t *testing.T) {
	s := wire(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("ETag", `"e"`)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 600))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, Config{})
	r, o, err := s.Open(t.Context(), "k", backend.OpenOptions{})
	if err != nil || o.Size != 1000 {
		t.Fatalf("Open: %+v, %v", o, err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if len(p) != 600 || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("read %d bytes, %v", len(p), err)
	}
}

// TestWrongAnswer: what is not what was asked for is never passed on as if it were.
func TestWrongAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		header map[string]string
		opts   backend.OpenOptions
		want   error
	}{
		"whole object for a range": {map[string]string{"Etag": `"e"`}, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"whole object for a head":  {map[string]string{"Etag": `"e"`}, backend.OpenOptions{Length: 3}, backend.ErrUnavailable},
		"another range":            {map[string]string{"Etag": `"e"`, "Content-Range": "bytes 6-9/20"}, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"no size":                  {map[string]string{"Etag": `"e"`, "Content-Range": "bytes 5-9/*"}, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"another version":          {map[string]string{"Etag": `"f"`}, backend.OpenOptions{ETag: `"e"`}, backend.ErrChanged},
	} {
		s := wire(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			_, _ = io.WriteString(w, "0123456789")
		}, Config{})
		if _, _, err := s.Open(t.Context(), "k", tc.opts); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestWrongChecksum: a store that got other bytes than were sent has not got them.
func TestWrongChecksum(t *testing.T) {
	wrong := *encode64(1)
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Checksum-Crc64nvme", wrong)
		w.Header().Set("ETag", `"e"`)
		switch q := r.URL.Query(); {
		case q.Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodPost:
			_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>e</ETag><ChecksumCRC64NVME>%s</ChecksumCRC64NVME></CompleteMultipartUploadResult>", wrong)
		case q.Get("partNumber") == "2":
			w.Header().Del("X-Amz-Checksum-Crc64nvme")
		}
	}, Config{})
	if _, err := s.Put(t.Context(), "k", []byte("x"), backend.PutOptions{}); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Put: %v", err)
	}
	u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, []byte("x")); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("WritePart: %v", err)
	}
	if _, err := u.Commit(t.Context(), 1); err == nil {
		t.Error("Commit of the part that arrived broken succeeded")
	}
	if err := u.WritePart(t.Context(), 2, []byte("x")); err != nil {
		t.Errorf("WritePart to a server that says nothing: %v", err)
	}
	u.(*upload).parts[1] = u.(*upload).parts[2]
	if _, err := u.Commit(t.Context(), 1); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Commit: %v", err)
	}
}

// TestCopyOnWire: the source is escaped, so that no key is read as something else, and one above the limit is known as such.
func TestCopyOnWire(t *testing.T) {
	var source string
	size := "7"
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", size)
			w.Header().Set("ETag", `"e"`)
			return
		}
		source = r.Header.Get("X-Amz-Copy-Source")
		if size != "7" {
			fail(w, 400, "InvalidRequest")
			return
		}
		_, _ = io.WriteString(w, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
	}, Config{})
	for _, key := range []string{"a b+c", "%41?x=1#y", "é/日本", "a//b", "x&y;z"} {
		if _, err := s.Copy(t.Context(), "dst", key, backend.CopyOptions{}); err != nil {
			t.Errorf("Copy %q: %v", key, err)
		}
		if got, err := url.PathUnescape(source); err != nil || got != "bkt/"+key || strings.ContainsAny(source, " +?#") {
			t.Errorf("the source of %q is %q", key, source)
		}
	}
	size = fmt.Sprint(caps.MaxCopy + 1)
	if _, err := s.Copy(t.Context(), "dst", "src", backend.CopyOptions{}); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("Copy of %s bytes: %v", size, err)
	}
}

// TestListOnWire: names are decoded, what a page repeats is dropped, and a folder around After does not come again.
func TestListOnWire(t *testing.T) {
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("encoding-type") != "url" || q.Get("delimiter") != "/" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		page := `<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>
			<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>d%2B/</Prefix></CommonPrefixes>
			<Contents><Key>c+x%0A</Key><Size>1</Size><ETag>"e"</ETag></Contents>`
		if q.Get("continuation-token") == "2" {
			page = `<IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>d%2B/</Prefix></CommonPrefixes><Contents><Key>e</Key><Size>1</Size><ETag>"e"</ETag></Contents>`
		}
		_, _ = fmt.Fprintf(w, "<ListBucketResult><EncodingType>url</EncodingType>%s</ListBucketResult>", page)
	}, Config{})
	var got []string
	for e, err := range s.List(t.Context(), "", backend.ListOptions{After: "a/b"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
	}
	if want := "c x\n|d+/|e"; strings.Join(got, "|") != want {
		t.Errorf("listed %q, want %q", strings.Join(got, "|"), want)
	}
}

// TestMultipartETag holds the ETag that is foretold against one computed by hand.
func TestMultipartETag(t *testing.T) {
	u := &upload{key: "k", parts: map[int]part{}}
	for n, sum := range []string{"0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"} { // MD5 of a and b
		p := part{size: 1}
		quoted := `"` + sum + `"`
		p.ETag = &quoted
		u.keep(n+1, p)
	}
	whole, err := u.whole(2)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := multipartETag(whole.parts), `"`+hex.EncodeToString(md5Of("\x0c\xc1\x75\xb9\xc0\xf1\xb6\xa8\x31\xc3\x99\xe2\x69\x77\x26\x61\x92\xeb\x5f\xfe\xe6\xae\x2f\xec\x3a\xd7\x1c\x77\x75\x31\x57\x8f"))+`-2"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
