package vfstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// deed is an operation that makes or changes a whole file at once.
type deed struct {
	name  string
	do    func(ctx context.Context, fs vfs.FS) error
	after func(files map[string]string) // does the same to the content of files by name
}

var when = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// digest is what the deed "hash" tells beside its error.
type digest struct{ sum []byte }

func deeds(d *digest) []deed {
	return []deed{
		{"set time", func(ctx context.Context, fs vfs.FS) error { return fs.SetTimes(ctx, "/d/1", when, time.Time{}) }, func(map[string]string) {}},
		{
			"copy", func(ctx context.Context, fs vfs.FS) error { return fs.Copy(ctx, "/d/1", "/to") },
			func(files map[string]string) { files["/to"] = files["/d/1"] },
		},
		{
			"copy to a new name", func(ctx context.Context, fs vfs.FS) error { return fs.Copy(ctx, "/d/1", "/new") },
			func(files map[string]string) { files["/new"] = files["/d/1"] },
		},
		{
			"join", func(ctx context.Context, fs vfs.FS) error { return fs.Concat(ctx, "/to", []string{"/d/1", "/d/2"}) },
			func(files map[string]string) {
				files["/to"] += files["/d/1"] + files["/d/2"]
				delete(files, "/d/1")
				delete(files, "/d/2")
			},
		},
		{
			"join to a new name", func(ctx context.Context, fs vfs.FS) error { return fs.Concat(ctx, "/new", []string{"/d/2", "/d/1"}) },
			func(files map[string]string) {
				files["/new"] += files["/d/2"] + files["/d/1"]
				delete(files, "/d/1")
				delete(files, "/d/2")
			},
		},
		{"hash", func(ctx context.Context, fs vfs.FS) (err error) {
			d.sum, _, err = fs.Hash(ctx, "/d/1", "SHA-256", 0, -1)
			return err
		}, func(map[string]string) {}},
	}
}

// Faults does what makes or changes a whole file at once, again and again: one time for each request, which fails, and one
// time for each request before which somebody else writes one of the files. A failure must leave everything as it was; what
// somebody else writes must be there as if it had been written before the operation or after it. Each call of open
// returns a store without objects below the prefix, which checks conditions.
func Faults(t *testing.T, open func(t *testing.T) (store backend.Store, prefix string)) {
	var d digest
	for _, deed := range deeds(&d) {
		t.Run(deed.name, func(t *testing.T) {
			failed := 0
			for step, hit := 1, true; hit; step++ {
				r := newRun(t, open)
				r.arm(step, func() error { return errBroken })
				err := deed.do(t.Context(), r.fs)
				hit = r.disarm()
				outcomes := []map[string]string{r.files()}
				if err == nil {
					deed.after(outcomes[0])
				} else if failed++; !errors.Is(err, errBroken) || !hit {
					t.Errorf("request %d: %v", step, err)
				}
				r.check(fmt.Sprintf("request %d failed: %v", step, err), outcomes)
			}
			if failed < 2 {
				t.Errorf("%d requests failed: the faults are set wrongly", failed)
			}
			for _, theirs := range []string{"/d/1", "/d/2", "/to", "/new"} {
				for step, hit := 1, true; hit; step++ {
					r := newRun(t, open)
					r.arm(step, func() error { r.put(theirs, newer); return nil })
					err := deed.do(t.Context(), r.fs)
					if hit = r.disarm(); !hit {
						break
					}
					before, first, last := r.files(), r.files(), r.files()
					first[theirs], before[theirs] = newer, newer
					deed.after(first)
					deed.after(last)
					last[theirs] = newer
					outcomes := []map[string]string{first, last}
					if err != nil {
						outcomes = []map[string]string{before}
					}
					what := fmt.Sprintf("%s written before request %d: %v", theirs, step, err)
					if err != nil && !errors.Is(err, backend.ErrChanged) {
						t.Error(what)
					}
					r.check(what, outcomes)
					if deed.name == "hash" && err == nil && !d.is(r.files()["/d/1"]) && (theirs != "/d/1" || !d.is(newer)) {
						t.Errorf("%s: the digest is of no version", what)
					}
				}
			}
		})
	}
}

func (d digest) is(content string) bool {
	sum := sha256.Sum256([]byte(content))
	return bytes.Equal(d.sum, sum[:])
}

var errBroken = errors.New("broken on purpose")

// newer is what somebody else writes: as long as /d/1.
const newer = "somebody else's words"

// run is one tree, with files in it.
type run struct {
	*testing.T
	fs     vfs.FS
	store  backend.Store // without the interruption
	prefix string
	*interrupted
}

func newRun(t *testing.T, open func(*testing.T) (backend.Store, string)) *run {
	t.Helper()
	store, prefix := open(t)
	r := &run{T: t, store: store, prefix: prefix, interrupted: &interrupted{Store: store}}
	var err error
	r.fs, err = vfs.New(vfs.Config{
		Engine: transfer.New(transfer.Config{PartSize: 16}),
		Mounts: []vfs.Mount{{Path: "/", Store: r.interrupted, Prefix: prefix, Rights: vfs.Full}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.fs.Mkdir(t.Context(), "/d"); err != nil {
		t.Fatal(err)
	}
	for name, content := range r.files() {
		r.put(name, content)
	}
	return r
}

// files are what a run begins with.
func (r *run) files() map[string]string {
	return map[string]string{"/d/1": "the first file of all", "/d/2": "2nd", "/to": "where it goes to", "/d/other": "other"}
}

func (r *run) put(name, content string) {
	r.Helper()
	if _, err := r.store.Put(r.Context(), r.prefix+name[1:], []byte(content), backend.PutOptions{}); err != nil {
		r.Fatal(err)
	}
}

// check compares all files with the outcomes that may be.
func (r *run) check(what string, outcomes []map[string]string) {
	r.Helper()
	got := map[string]string{}
	for row, err := range r.store.List(r.Context(), r.prefix, backend.ListOptions{Recursive: true}) {
		if err != nil {
			r.Fatal(err)
		}
		if strings.HasSuffix(row.Key, "/") {
			continue
		}
		body, _, err := r.store.Open(r.Context(), row.Key, backend.OpenOptions{})
		if err != nil {
			r.Fatal(err)
		}
		p, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			r.Fatal(err)
		}
		got["/"+strings.TrimPrefix(row.Key, r.prefix)] = string(p)
	}
	for _, want := range outcomes {
		if maps.Equal(got, want) {
			return
		}
	}
	r.Errorf("%s: %q, want one of %q", what, got, outcomes)
}

// interrupted is a store that runs a function before one request.
type interrupted struct {
	backend.Store
	mu sync.Mutex
	n  int // requests until then; 0: it has been, or is not to be
	f  func() error
}

func (s *interrupted) arm(n int, f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.f = n, f
}

// disarm reports whether the request came.
func (s *interrupted) disarm() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hit := s.n == 0
	s.n = 0
	return hit
}

func (s *interrupted) request() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == 0 {
		return nil
	}
	if s.n--; s.n > 0 {
		return nil
	}
	return s.f()
}

func (s *interrupted) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := s.request(); err != nil {
		return backend.Object{}, err
	}
	return s.Store.Stat(ctx, key)
}

func (s *interrupted) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if err := s.request(); err != nil {
		return func(yield func(backend.Entry, error) bool) { yield(backend.Entry{}, err) }
	}
	return s.Store.List(ctx, prefix, opts)
}

func (s *interrupted) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := s.request(); err != nil {
		return nil, backend.Object{}, err
	}
	return s.Store.Open(ctx, key, opts)
}

func (s *interrupted) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := s.request(); err != nil {
		return backend.Object{}, err
	}
	return s.Store.Put(ctx, key, p, opts)
}

func (s *interrupted) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	if err := s.request(); err != nil {
		return backend.Object{}, err
	}
	return s.Store.Copy(ctx, dst, src, opts)
}

func (s *interrupted) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := s.request(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, opts)
}

func (s *interrupted) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := s.request(); err != nil {
		return nil, err
	}
	up, err := s.Store.NewUpload(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	return &interruptedUpload{up, s}, nil
}

type interruptedUpload struct {
	backend.Upload
	store *interrupted
}

func (u *interruptedUpload) WritePart(ctx context.Context, n int, p []byte) error {
	if err := u.store.request(); err != nil {
		return err
	}
	return u.Upload.WritePart(ctx, n, p)
}

func (u *interruptedUpload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	if err := u.store.request(); err != nil {
		return err
	}
	return u.Upload.CopyPart(ctx, n, src, off, length, opts)
}

func (u *interruptedUpload) Commit(ctx context.Context, parts int) (backend.Object, error) {
	if err := u.store.request(); err != nil {
		return backend.Object{}, err
	}
	return u.Upload.Commit(ctx, parts)
}
