package azure

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// crcOf123456789 is the check value of the CRC-64 of Azure, ae8b14860a799888, as it travels: least byte first.
var crcOf123456789 = func() string {
	p, _ := hex.DecodeString("8898790a86148bae") // it is hex
	return base64.StdEncoding.EncodeToString(p)
}()

// TestPutOnWire: a body goes once, with its checksum and with all that was said about it.
func TestPutOnWire(t *testing.T) {
	cfg := account
	cfg.AccessTier = "Cool"
	cfg.EncryptionKey = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	var got http.Header
	var sent string
	s := wire(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		got, sent = r.Header, slurp(r.Body)
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	o, err := s.Put(t.Context(), "k", []byte("123456789"), backend.PutOptions{
		If:         backend.Condition{Absent: true},
		Attributes: backend.Attributes{ModTime: time.Unix(0, 5e8), Metadata: map[string]string{"note": "grün"}},
	})
	if err != nil || o.ETag != `"e"` || o.Size != 9 || o.StorageClass != "Cool" || o.Archived || sent != "123456789" {
		t.Fatalf("%+v, %v, sent %q", o, err, sent)
	}
	for name, want := range map[string]string{
		"X-Ms-Blob-Type": "BlockBlob", "X-Ms-Content-Crc64": crcOf123456789, "Content-Md5": "", "If-None-Match": "*", "If-Match": "",
		"X-Ms-Meta-Mtime": "1970-01-01T00:00:00.500000000Z", "X-Ms-Meta-Note": "=?UTF-8?b?Z3LDvG4=?=", "X-Ms-Blob-Content-Type": "application/octet-stream",
		"X-Ms-Access-Tier": "Cool", "X-Ms-Encryption-Key": cfg.EncryptionKey, "X-Ms-Encryption-Algorithm": "AES256",
		"X-Ms-Encryption-Key-Sha256": "XjGPjPnL4kmjCBK4yhMtaR3tepGZFBNVjbV1hXX14B8=",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if s.Caps().ListMetadata {
		t.Error("rows of encrypted blobs have no metadata")
	}
}

// TestScope: the name of an encryption scope goes with everything that writes.
func TestScope(t *testing.T) {
	cfg := account
	cfg.EncryptionScope = "vault"
	var without []string
	s := wire(t, cfg, func(w http.ResponseWriter, r *http.Request) {
		op := operation(r)
		if r.Header.Get("X-Ms-Encryption-Scope") != "vault" {
			without = append(without, op)
		}
		describe(w, "1", "X-Ms-Meta-A", "b")
		if r.Method == http.MethodPut {
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusCreated)
		}
	})
	_, _ = s.Put(t.Context(), "k", nil, backend.PutOptions{})
	_, _ = s.Copy(t.Context(), "dst", "src", backend.CopyOptions{})
	u, _ := s.NewUpload(t.Context(), "up", backend.PutOptions{})
	_ = u.WritePart(t.Context(), 1, []byte("x"))
	_ = u.CopyPart(t.Context(), 2, "src", 0, 1, backend.CopyPartOptions{})
	_, _ = u.Commit(t.Context(), 2)
	if got := strings.Join(without, ","); got != "HEAD,HEAD,HEAD,HEAD" {
		t.Errorf("went without the scope: %s", got)
	}
}

// TestChecksums: what the service keeps is told on demand.
func TestChecksums(t *testing.T) {
	for sum, want := range map[string]string{"": "", "JfnnlDI7RTiF9RgfG2JNCw==": "25f9e794323b453885f5181f1b624d0b", "JfnnlDI7": ""} {
		s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) { describe(w, "9", "Content-Md5", sum) })
		o, err := s.Stat(t.Context(), "k")
		if err != nil || o.Checksums != nil {
			t.Errorf("%q, nobody asked: %x, %v", sum, o.Checksums, err)
		}
		o, err = s.Stat(backend.WithChecksums(t.Context()), "k")
		if got := hex.EncodeToString(o.Checksums["MD5"]); err != nil || got != want || len(o.Checksums) > 1 {
			t.Errorf("%q: %x, %v", sum, o.Checksums, err)
		}
	}
}

// TestErrorsOnWire goes through what the service answers and Azurite never does.
func TestErrorsOnWire(t *testing.T) {
	stat := func(s *Store) error { _, err := s.Stat(t.Context(), "k"); return err }
	open := func(s *Store) error {
		_, _, err := s.Open(t.Context(), "k", backend.OpenOptions{ETag: `"e"`})
		return err
	}
	put := func(s *Store) error {
		_, err := s.Put(t.Context(), "k", nil, backend.PutOptions{If: backend.Condition{ETag: `"e"`}})
		return err
	}
	part := func(s *Store) error {
		u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
		return errors.Join(err, u.WritePart(t.Context(), 1, []byte("x")))
	}
	drop := func(s *Store) error { return s.Delete(t.Context(), "k", backend.DeleteOptions{}) }
	for _, tc := range []struct {
		status int
		code   string
		call   func(*Store) error
		want   error
	}{
		{409, "BlobArchived", open, backend.ErrArchived},
		{409, "BlobBeingRehydrated", open, backend.ErrArchived},
		{409, "BlobArchived", put, backend.ErrArchived},
		{409, "BlobImmutableDueToPolicy", put, backend.ErrPermission},
		{409, "BlobImmutableDueToPolicy", drop, backend.ErrPermission},
		{409, "BlobUsesCustomerSpecifiedEncryption", stat, backend.ErrPermission},
		{409, "InvalidBlobType", part, backend.ErrUnsupported},
		{409, "RequestEntityTooLargeBlockCountExceedsLimit", part, backend.ErrTooLarge},
		{403, "AuthorizationPermissionMismatch", open, backend.ErrPermission},
		{403, "", stat, backend.ErrPermission},
		{404, "BlobNotFound", stat, backend.ErrNotExist},
		{404, "BlobNotFound", drop, nil},
		{404, "BlobNotFound", put, backend.ErrChanged},
		{404, "ContainerNotFound", stat, backend.ErrUnavailable},
		{412, "ConditionNotMet", open, backend.ErrChanged},
		{412, "LeaseIdMissing", put, backend.ErrUnavailable},
		{400, "InvalidUri", stat, backend.ErrBadKey},
		{416, "InvalidRange", func(s *Store) error {
			_, _, err := s.Open(t.Context(), "k", backend.OpenOptions{Offset: 9})
			return err
		}, backend.ErrRange},
	} {
		s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
			if tc.status == 416 && r.Method == http.MethodHead {
				describe(w, "3")
				return
			}
			fail(w, tc.status, tc.code)
		})
		err := tc.call(s)
		if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("%d %s: %v, want %v", tc.status, tc.code, err, tc.want)
		}
		if err != nil && tc.status != 416 && !strings.Contains(err.Error(), "request-1") {
			t.Errorf("%d %s: the id of the request is missing: %v", tc.status, tc.code, err)
		}
		safe(t, err)
	}
}

// TestBodyCut: a body that ends early is an error, after the bytes that came.
func TestBodyCut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		describe(w, "1000", "X-Ms-Access-Tier", "Hot", "X-Ms-Access-Tier-Inferred", "true")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 600))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	cfg := account
	cfg.Endpoint = srv.URL
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, o, err := s.Open(t.Context(), "k", backend.OpenOptions{})
	if err != nil || o.Size != 1000 || o.StorageClass != "" {
		t.Fatalf("Open: %+v, %v", o, err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if len(p) != 600 || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("read %d bytes, %v", len(p), err)
	}
	safe(t, err)
}

// TestWrongAnswer: what is not what was asked for is never passed on as if it were.
func TestWrongAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		header []string
		opts   backend.OpenOptions
		want   error
	}{
		"whole object for a range": {nil, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"whole object for a head":  {nil, backend.OpenOptions{Length: 3}, backend.ErrUnavailable},
		"another range":            {[]string{"Content-Range", "bytes 6-9/20"}, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"no size":                  {[]string{"Content-Range", "bytes 5-9/*"}, backend.OpenOptions{Offset: 5}, backend.ErrUnavailable},
		"another version":          {[]string{"Etag", `"f"`}, backend.OpenOptions{ETag: `"e"`}, backend.ErrChanged},
	} {
		s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) {
			describe(w, "10", tc.header...)
			_, _ = io.WriteString(w, "0123456789")
		})
		if _, _, err := s.Open(t.Context(), "k", tc.opts); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestWrongChecksum: a store that got other bytes than were sent has not got them.
func TestWrongChecksum(t *testing.T) {
	answer := base64.StdEncoding.EncodeToString(make([]byte, 8))
	s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) {
		describe(w, "0", "X-Ms-Content-Crc64", answer)
		w.WriteHeader(http.StatusCreated)
	})
	if _, err := s.Put(t.Context(), "k", []byte("123456789"), backend.PutOptions{}); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Put: %v", err)
	}
	u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, []byte("123456789")); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("WritePart: %v", err)
	}
	if _, err := u.Commit(t.Context(), 1); err == nil {
		t.Error("Commit of the part that arrived broken succeeded")
	}
	answer = crcOf123456789
	if err := u.WritePart(t.Context(), 1, []byte("123456789")); err != nil {
		t.Errorf("WritePart with the right answer: %v", err)
	}
}

// TestWrongSize: an object that is shorter than what was sent is not what was sent.
func TestWrongSize(t *testing.T) {
	size := "8"
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			describe(w, size)
			return
		}
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	for _, tc := range []struct {
		size string
		want error
	}{{"8", backend.ErrUnavailable}, {"9", nil}} {
		size = tc.size
		u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.WritePart(t.Context(), 1, []byte("123456789")); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Commit(t.Context(), 1); !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("the store has %s bytes: %v, want %v", size, err, tc.want)
		}
	}
}

// TestWriteOnly: credentials that may write and not read can upload.
func TestWriteOnly(t *testing.T) {
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			fail(w, 403, "AuthorizationPermissionMismatch")
			return
		}
		describe(w, "0")
		w.WriteHeader(http.StatusCreated)
	})
	u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if o, err := u.Commit(t.Context(), 1); err != nil || o.Size != 1 || o.ETag != `"e"` {
		t.Errorf("Commit: %+v, %v", o, err)
	}
}

// TestEmptyPart: Azure has no empty blocks, but an upload may end in an empty part.
func TestEmptyPart(t *testing.T) {
	var lists []string
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if operation(r) == "PUT blocklist" {
			lists = append(lists, fmt.Sprint(strings.Count(slurp(r.Body), "<Latest>")))
		}
		if r.ContentLength == 0 && operation(r) == "PUT block" {
			fail(w, 400, "InvalidHeaderValue")
			return
		}
		describe(w, "0")
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusCreated)
		}
	})
	u, err := s.NewUpload(t.Context(), "k", backend.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := u.WritePart(t.Context(), 1, nil); err != nil {
		t.Errorf("WritePart of nothing: %v", err)
	}
	if o, err := u.Commit(t.Context(), 1); err != nil || o.Size != 0 || strings.Join(lists, ",") != "0" {
		t.Errorf("Commit: %+v, %v, lists of %v blocks", o, err, lists)
	}
}

// TestMarker: the empty object of a directory is marked as one for other programs, and its reader does not see that.
func TestMarker(t *testing.T) {
	var got http.Header
	s := wire(t, account, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			describe(w, "0", "X-Ms-Meta-Hdi_isfolder", "true", "X-Ms-Meta-A", "b")
			return
		}
		got = r.Header
		describe(w, "0")
		if r.URL.RawQuery == "" {
			w.WriteHeader(http.StatusCreated)
		}
	})
	put := func(key, content string) string {
		if _, err := s.Put(t.Context(), key, []byte(content), backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		return got.Get("X-Ms-Meta-Hdi_isfolder")
	}
	if mark := put("dir/", ""); mark != "true" {
		t.Errorf("a marker has %q", mark)
	}
	if mark := put("dir/", "x") + put("dir", "") + put("dir/x", ""); mark != "" {
		t.Errorf("what is no marker has %q", mark)
	}
	if o, err := s.Stat(t.Context(), "dir/"); err != nil || len(o.Metadata) != 1 {
		t.Errorf("Stat of a marker: %+v, %v", o, err)
	}
	if o, err := s.Stat(t.Context(), "dir"); err != nil || o.Metadata["hdi_isfolder"] != "true" {
		t.Errorf("Stat of another program's: %+v, %v", o, err)
	}
	for _, dst := range []string{"dir/", "other/"} { // new attributes, and a new name
		if _, err := s.Copy(t.Context(), dst, "dir/", backend.CopyOptions{Replace: &backend.Attributes{}}); err != nil || got.Get("X-Ms-Meta-Hdi_isfolder") != "true" {
			t.Errorf("Copy to %s: %v, %v", dst, got, err)
		}
	}
}

// TestBackslash: Azure takes it for a slash, so that the key would be another. Nothing is sent.
func TestBackslash(t *testing.T) {
	s := wire(t, account, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent %s", r.URL) })
	for _, key := range []string{`a\b`, `\`, `..\x`, `a\..\b`} {
		if _, err := s.Put(t.Context(), key, nil, backend.PutOptions{}); !errors.Is(err, backend.ErrBadKey) {
			t.Errorf("Put %q: %v", key, err)
		}
	}
}
