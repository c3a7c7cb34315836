package nulls3_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"

	"sluice/backend"
	"sluice/backend/s3"
	"sluice/cmd/sluice/internal/bench/content"
	"sluice/cmd/sluice/internal/bench/nulls3"
)

// The store that Sluice has for S3 gets along with the server, which notices what is not of the content.
func TestServer(t *testing.T) {
	null := &nulls3.Server{}
	srv := httptest.NewServer(null)
	defer srv.Close()
	store, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Endpoint: srv.URL, PathStyle: true, AccessKey: "k", SecretKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	part, _ := io.ReadAll(content.Reader(0, 6<<20))
	rest, _ := io.ReadAll(content.Reader(6<<20, 100))
	for _, c := range []struct {
		key           string
		first, second []byte
		expected      bool
	}{{"right", part, rest, true}, {"swapped", part, part[1:101], false}} {
		u, err := store.NewUpload(t.Context(), c.key, backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range [][]byte{c.first, c.second} {
			if err := u.WritePart(t.Context(), i+1, p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := u.Commit(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if o, ok := null.Object(c.key); !ok || o.Size != 6<<20+100 || o.Expected != c.expected {
			t.Errorf("%s: %+v", c.key, o)
		}
	}
	body, _, err := store.Open(t.Context(), "right", backend.OpenOptions{Offset: 6 << 20, Length: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if p, err := io.ReadAll(body); err != nil || !bytes.Equal(p, rest[:50]) {
		t.Errorf("a range came back different: %v", err)
	}
	null.Fill(2001, 1, func(i int) string { return fmt.Sprintf("dir/%d/%04d", i%2, i) })
	for _, c := range []struct {
		prefix string
		want   int
	}{{"", 3}, {"dir/", 2}, {"dir/0/", 1001}, {"dir/1/", 1000}} {
		n := 0
		for _, err := range store.List(t.Context(), c.prefix, backend.ListOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != c.want {
			t.Errorf("%q has %d entries, want %d", c.prefix, n, c.want)
		}
	}
	if n := null.Counts()["ListObjectsV2"]; n != 5 {
		t.Errorf("%d pages, want 5", n)
	}
}
