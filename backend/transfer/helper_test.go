package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

var errBroken = errors.New("broken on purpose")

// smallCaps are limits that a few hundred bytes cross.
func smallCaps() backend.Caps {
	c := mem.DefaultCaps()
	c.MaxObject = 10000
	c.MaxPut = 150
	c.MinPart, c.MaxPart, c.MaxParts, c.PartConcurrency = 5, 80, 10, 3
	c.MaxCopyPart, c.MaxCopy = 200, 300
	return c
}

func pattern(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(p)
	return p
}

func mustPut(t testing.TB, s backend.Store, key string, p []byte) backend.Object {
	t.Helper()
	obj, err := New(Config{}).Upload(context.Background(), s, key, bytes.NewReader(p), UploadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

// content returns the bytes of an object, nil if there is none.
func content(t testing.TB, s backend.Store, key string) []byte {
	t.Helper()
	var err error
	for range 100 { // the store may fail on purpose
		var body io.ReadCloser
		if body, _, err = s.Open(context.Background(), key, backend.OpenOptions{}); errors.Is(err, backend.ErrNotExist) {
			return nil
		} else if err == nil {
			var p []byte
			if p, err = io.ReadAll(body); err == nil {
				return append([]byte{}, p...)
			}
		}
	}
	t.Fatal(err)
	return nil
}

// wantOnly checks that the store holds the keys, and no unfinished upload.
func wantOnly(t testing.TB, s *mem.Store, keys ...string) {
	t.Helper()
	got := s.Keys()
	same := len(got) == len(keys)
	for i := range got {
		same = same && got[i] == keys[i]
	}
	if !same {
		t.Errorf("keys: %q, want %q", got, keys)
	}
	if up := s.Uploads(); len(up) > 0 {
		t.Errorf("unfinished uploads: %q", up)
	}
}

// endReader delivers p and then err. It notes reads after the end, and after done was set.
type endReader struct {
	p     []byte
	err   error
	step  int           // most bytes of one Read; 0: no limit
	every time.Duration // between two Reads
	reads int
	done  bool
	late  bool
}

func (r *endReader) Read(p []byte) (int, error) {
	r.reads++
	r.late = r.late || r.done
	if r.every > 0 {
		time.Sleep(r.every)
	}
	if len(r.p) == 0 {
		r.done = true
		return 0, r.err
	}
	if r.step > 0 {
		p = p[:min(len(p), r.step)]
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}

// slowStore delivers bodies in pieces of 64 KiB, each after a pause.
type slowStore struct {
	backend.Store
	pause time.Duration
}

func (s slowStore) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	body, obj, err := s.Store.Open(ctx, key, opts)
	if err != nil {
		return nil, obj, err
	}
	return &slowBody{body, s.pause}, obj, nil
}

type slowBody struct {
	io.ReadCloser
	pause time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.pause)
	return b.ReadCloser.Read(p[:min(len(p), 64<<10)])
}
