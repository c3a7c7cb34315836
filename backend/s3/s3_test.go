package s3

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/minio/crc64nvme"

	"sluice/backend"
)

// TestCombine: the checksum of a whole made of those of its parts is that of the whole.
func TestCombine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := make([]byte, r.IntN(5000)), make([]byte, r.IntN(5000))
		for i := range a {
			a[i] = byte(r.Uint32())
		}
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		got := combine(crc64nvme.Checksum(a), crc64nvme.Checksum(b), int64(len(b)))
		if want := crc64nvme.Checksum(append(bytes.Clone(a), b...)); got != want {
			t.Fatalf("%d and %d bytes: %x, want %x", len(a), len(b), got, want)
		}
	}
}

// stub answers every request alike.
func stub(t *testing.T, status int, body string) *Store {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), Config{Bucket: "b", Region: "us-east-1", Endpoint: server.URL, PathStyle: true, AccessKey: "k", SecretKey: "hidden"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestErrors: what a server answers becomes an error that callers can act on, and names no secret.
func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", backend.ErrNotExist},
		{404, "NoSuchBucket", backend.ErrUnavailable},
		{403, "AccessDenied", backend.ErrPermission},
		{403, "SignatureDoesNotMatch", backend.ErrPermission},
		{403, "InvalidObjectState", backend.ErrArchived},
		{412, "PreconditionFailed", backend.ErrChanged},
		{409, "ConditionalRequestConflict", backend.ErrChanged},
		{400, "EntityTooLarge", backend.ErrTooLarge},
		{400, "KeyTooLongError", backend.ErrBadKey},
		{501, "NotImplemented", backend.ErrUnsupported},
	} {
		s := stub(t, tc.status, "<Error><Code>"+tc.code+"</Code><Message>m</Message></Error>")
		s.client = patient(s, 1)
		_, err := s.Put(t.Context(), "key", []byte("x"), backend.PutOptions{})
		if !errors.Is(err, tc.want) || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "key") {
			t.Errorf("%d %s: %v, want %v", tc.status, tc.code, err, tc.want)
		}
	}
}

// TestKeysRefused: no such key is ever sent.
func TestKeysRefused(t *testing.T) {
	s := stub(t, 200, "")
	for _, key := range []string{"", "..", "a/../b", "./a", "a\x00", "a\n", "\xff", strings.Repeat("x", 1025)} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, backend.ErrBadKey) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestSource(t *testing.T) {
	s := &Store{cfg: Config{Bucket: "b"}}
	if got := *s.source("a b/ü+?#%"); got != "b/a%20b/%C3%BC%2B%3F%23%25" {
		t.Error(got)
	}
}
