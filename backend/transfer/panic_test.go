package transfer

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// panicReader panics when p was delivered.
type panicReader struct{ io.Reader }

func (r panicReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		panic("on purpose")
	}
	return n, err
}

// A caller that recovers from what its reader did has lost nothing of the budget.
func TestPanicOfReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8<<20, 160<<10)
		e := New(Config{Budget: b, PartSize: 1 << 20})
		s := mem.New(mem.Config{})
		for _, size := range []int{0, 100_000, 2_500_000} {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was hidden")
					}
				}()
				_, _ = e.Upload(t.Context(), s, "k", panicReader{&endReader{p: pattern(size), err: io.EOF}}, UploadOptions{})
			}()
			synctest.Wait() // for parts under way
			if b.Used() != 0 || len(b.seats) != 0 {
				t.Errorf("%d bytes and %d seats are lost", b.Used(), len(b.seats))
			}
		}
	})
}

// panicStore panics where it is told to.
type panicStore struct {
	backend.Store
	at   string
	once *sync.Once // of records
}

func (s panicStore) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if s.at == "range" && opts.Offset > 0 {
		panic("on purpose")
	}
	return s.Store.Open(ctx, key, opts)
}

func (s panicStore) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if s.at == "record" {
		s.once.Do(func() { panic("on purpose") })
	}
	return s.Store.Put(ctx, key, p, opts)
}

func (s panicStore) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	up, err := s.Store.NewUpload(ctx, key, opts)
	return panicUpload{up, s.at}, err
}

type panicUpload struct {
	backend.Upload
	at string
}

func (u panicUpload) WritePart(ctx context.Context, n int, p []byte) error {
	if u.at == "part" && n == 2 {
		panic("on purpose")
	}
	return u.Upload.WritePart(ctx, n, p)
}

func (u panicUpload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	if u.at == "copy" && n == 2 {
		panic("on purpose")
	}
	return u.Upload.CopyPart(ctx, n, src, off, length, opts)
}

// A store that panics fails the transfer that has met it, with the stack, and nothing else.
func TestPanicOfStore(t *testing.T) {
	for _, at := range []string{"part", "copy", "record", "range"} {
		synctest.Test(t, func(t *testing.T) {
			caps := smallCaps()
			caps.MaxObject, caps.MaxCopyPart = 100<<20, 100
			caps.MaxPart, caps.MinPart = 20<<20, 1
			m := mem.New(mem.Config{Caps: &caps})
			b := NewBudget(0, 160<<10)
			e := New(Config{PartSize: 50, Budget: b})
			base := mustPut(t, m, "base", pattern(1000))
			large := mustPut(t, m, "large", pattern(20<<20))
			s := panicStore{m, at, &sync.Once{}}
			var err error
			switch at {
			case "part":
				_, err = e.Upload(t.Context(), s, "k", &endReader{p: pattern(400), err: io.EOF}, UploadOptions{})
			case "copy":
				_, err = e.Copy(t.Context(), s, "k", base, backend.CopyOptions{})
			case "record":
				r := &endReader{p: pattern(400), err: io.EOF, step: 50, every: time.Second}
				_, err = e.Upload(t.Context(), s, "k", r, UploadOptions{Resume: &Resumption{User: "u", For: time.Hour, Refuse: func(error) bool { return true }}})
			case "range":
				var body io.ReadCloser
				if body, _, err = e.Open(t.Context(), slowStore{s, time.Millisecond}, "large", OpenOptions{ETag: large.ETag}); err == nil {
					_, err = io.Copy(io.Discard, body)
					body.Close()
				}
			}
			if err == nil || !strings.Contains(err.Error(), "on purpose") || !strings.Contains(err.Error(), "panic_test.go") {
				t.Errorf("%s: %v", at, err)
			}
			wantOnly(t, m, "base", "large")
			if b.Used() != 0 || len(b.seats) != 0 {
				t.Errorf("%s: %d bytes and %d seats are lost", at, b.Used(), len(b.seats))
			}
		})
	}
}
