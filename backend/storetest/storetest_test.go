package storetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// recorder is a test that may fail without its parent failing.
type recorder struct {
	testing.TB
	mu  sync.Mutex
	out []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out = append(r.out, fmt.Sprintf(format, args...))
}

// stop ends a case that called Fatalf.
type stop struct{}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stop{})
}

// failures runs every case over stores of open and returns the names of those that fail.
func failures(t *testing.T, open func() backend.Store) []string {
	var names []string
	for _, c := range cases() {
		r := &recorder{TB: t}
		func() {
			defer func() {
				if v := recover(); v != nil && v != any(stop{}) {
					panic(v)
				}
			}()
			c.run(&suite{TB: r, s: open(), Options: Options{Page: 3}})
		}()
		if len(r.out) > 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// broken breaks the contract in one way.
type broken struct {
	backend.Store
	how string
}

func (b broken) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if b.how != "order" {
		return b.Store.List(ctx, prefix, opts)
	}
	return func(yield func(backend.Entry, error) bool) {
		var held []backend.Entry
		for e, err := range b.Store.List(ctx, prefix, opts) {
			if err != nil {
				yield(e, err)
				return
			}
			held = append(held, e)
		}
		for _, e := range slices.Backward(held) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (b broken) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if b.how == "pin" {
		opts.ETag = ""
	}
	return b.Store.Open(ctx, key, opts)
}

func (b broken) Stat(ctx context.Context, key string) (backend.Object, error) {
	o, err := b.Store.Stat(ctx, key)
	if b.how == "checksums" && o.Checksums != nil {
		o.Checksums = map[string][]byte{"CRC32": make([]byte, 4)}
	}
	return o, err
}

func (b broken) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	switch b.how {
	case "condition":
		opts.If = backend.Condition{}
	case "metadata":
		opts.Metadata = nil
	}
	return b.Store.Put(ctx, key, p, opts)
}

func (b broken) Move(ctx context.Context, dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	o, err := b.Store.Move(ctx, dst, src, opts)
	if b.how == "move" && err == nil {
		_, err = b.Put(ctx, src, []byte("left"), backend.PutOptions{})
	}
	return o, err
}

func (b broken) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if b.how == "visible" {
		if _, err := b.Put(ctx, key, nil, backend.PutOptions{}); err != nil {
			return nil, err
		}
	}
	return b.Store.NewUpload(ctx, key, opts)
}

func (b broken) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if b.how == "resume" {
		return b.Store.NewUpload(ctx, key, opts)
	}
	return b.Store.ResumeUpload(ctx, key, id, opts)
}

// TestFails proves that the suite notices what is wrong, and says nothing where nothing is.
func TestFails(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.Move = true
	for how, want := range map[string]string{
		"nothing": "", "order": "List", "pin": "ReadPinned", "condition": "PutConditions", "metadata": "Attributes", "checksums": "Checksums", "visible": "Upload",
		"resume": "Resume", "move": "Move",
	} {
		got := failures(t, func() backend.Store { return broken{mem.New(mem.Config{Caps: &caps, Page: 3}), how} })
		if want == "" && len(got) > 0 || want != "" && !slices.Contains(got, want) {
			t.Errorf("a store with %s broken fails %q, want %q among them", how, got, want)
		}
	}
}
