package vfs

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

var errBroken = errors.New("broken on purpose")

func newTree(t testing.TB, mounts ...Mount) *Tree {
	t.Helper()
	tree, err := New(Config{Mounts: mounts, Engine: transfer.New(transfer.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// rooted returns a store with the keys, each with its own name as content, and a tree of it with all rights.
func rooted(t testing.TB, keys ...string) (*mem.Store, *Tree) {
	t.Helper()
	s := mem.New(mem.Config{})
	fill(t, s, keys...)
	return s, newTree(t, Mount{Path: "/", Store: s, Rights: Full})
}

func fill(t testing.TB, s backend.Store, keys ...string) {
	t.Helper()
	for _, key := range keys {
		p := []byte(key)
		if strings.HasSuffix(key, "/") || strings.HasSuffix(key, folderSuffix) {
			p = nil
		}
		put(t, s, key, p, nil)
	}
}

func put(t testing.TB, s backend.Store, key string, p []byte, meta map[string]string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, p, backend.PutOptions{Attributes: backend.Attributes{Metadata: meta}}); err != nil {
		t.Fatal(err)
	}
}

// names lists a directory, with a slash behind directories.
func names(t testing.TB, fs FS, dir string) ([]string, error) {
	t.Helper()
	var got []string
	for info, err := range fs.ReadDir(t.Context(), dir) {
		if err != nil {
			return got, err
		}
		if info.Dir {
			info.Name += "/"
		}
		got = append(got, info.Name)
	}
	return got, nil
}

func wantNames(t testing.TB, fs FS, dir string, want ...string) {
	t.Helper()
	got, err := names(t, fs, dir)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("list %s: %q, %v, want %q", dir, got, err, want)
	}
}

func wantKeys(t testing.TB, s *mem.Store, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := s.Keys(); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func read(t testing.TB, fs FS, name string) string {
	t.Helper()
	body, _, err := fs.Open(t.Context(), name, 0)
	if err != nil {
		return err.Error()
	}
	defer body.Close()
	p, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return string(p)
}

// store puts content at name.
func store(t testing.TB, fs FS, name, content string) (Info, error) {
	t.Helper()
	return fs.Put(t.Context(), name, 0, strings.NewReader(content), PutOptions{})
}

// unread fails the test if anybody reads it.
type unread struct{ t testing.TB }

func (r unread) Read([]byte) (int, error) {
	r.t.Helper()
	r.t.Error("read before the refusal")
	return 0, io.EOF
}

// archived is a store whose objects must all be restored first.
type archived struct{ backend.Store }

func (a archived) Stat(ctx context.Context, key string) (backend.Object, error) {
	obj, err := a.Store.Stat(ctx, key)
	obj.Archived = true
	return obj, err
}
