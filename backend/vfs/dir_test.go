package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestReadDirOrder(t *testing.T) {
	_, tree := rooted(t,
		"x", "x-", "x-1", "x-1-", "x-1/y", "x.txt", "x/1", "x/2", "x0", "xA", "y-", "y/",
		"both", "both/in", "both-", "z/",
		"old_$folder$", "old0", "older", "full/x", "full_$folder$", "file", "file_$folder$",
		"/lead", "//two", "dbl//x", "dbl/ok", "bad\tname", ".sluice/renames/j", "dir_$folder$/x",
		"_$folder$",
	)
	wantNames(t, tree, "/", "bad\tname", "both-", "both/", "dbl/", "file", "full/", "old0", "old/", "older",
		"x-", "x-1-", "x-1/", "x.txt", "x/", "x0", "xA", "y-", "y/", "z/")
	wantNames(t, tree, "/dbl", "ok")
	wantNames(t, tree, "/old")
	wantNames(t, tree, "/both", "in")
	for _, name := range []string{"/both", "/old", "/full", "/x"} {
		if info, err := tree.Stat(t.Context(), name); err != nil || !info.Dir {
			t.Errorf("stat %s: %+v, %v", name, info, err)
		}
	}
	if info, err := tree.Stat(t.Context(), "/file"); err != nil || info.Dir {
		t.Errorf("a file beats a folder object: %+v, %v", info, err)
	}
}

// dots lists "!" as ".": keys with such segments exist in real stores, though no Store lets anybody reach them.
type dots struct{ backend.Store }

func (d dots) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		for row, err := range d.Store.List(ctx, prefix, opts) {
			row.Key = strings.ReplaceAll(row.Key, "!", ".")
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestReadDirHidesDots(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "!", "!!", "!!/b", "!/a", "!x", "a/!!/c", "a/d")
	tree := newTree(t, Mount{Path: "/", Store: dots{s}, Rights: Full})
	wantNames(t, tree, "/", ".x", "a/")
	wantNames(t, tree, "/a", "d")
	wantErr(t, "rename of what cannot be copied", tree.Rename(t.Context(), "/a", "/b"), ErrName)
	wantNames(t, tree, "/a", "d")
}

func TestFolderObjects(t *testing.T) {
	for name, folder := range map[string]backend.Attributes{
		"Azure tools": {Metadata: map[string]string{"hdi_isfolder": "true"}}, "s3fs": {ContentType: "application/x-directory"},
	} {
		t.Run(name, func(t *testing.T) { testFolderObjects(t, folder) })
	}
}

func testFolderObjects(t *testing.T, folder backend.Attributes) {
	s, tree := rooted(t, "d/e/x", "top")
	ctx := t.Context()
	for _, key := range []string{"empty", "d/e"} {
		if _, err := s.Put(ctx, key, nil, backend.PutOptions{Attributes: folder}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "d-", nil, nil)
	wantNames(t, tree, "/", "d-", "d/", "empty/", "top")
	wantNames(t, tree, "/d", "e/")
	wantNames(t, tree, "/empty")
	_, _, err := tree.Open(ctx, "/empty", 0)
	wantErr(t, "open", err, ErrIsDir)
	wantErr(t, "remove", tree.Remove(ctx, "/empty"), ErrIsDir)
	_, err = tree.Put(ctx, "/empty", 0, unread{t}, PutOptions{})
	wantErr(t, "put", err, ErrIsDir)
	wantErr(t, "mkdir", tree.Mkdir(ctx, "/empty"), ErrExist)
	_, err = store(t, tree, "/empty/f", "in it")
	wantErr(t, "put into it", err, nil)
	wantErr(t, "rmdir", tree.Rmdir(ctx, "/empty"), ErrNotEmpty)
	wantErr(t, "remove from it", tree.Remove(ctx, "/empty/f"), nil)
	wantErr(t, "rmdir", tree.Rmdir(ctx, "/empty"), nil)
	wantErr(t, "rename", tree.Rename(ctx, "/d/e", "/moved"), nil)
	wantKeys(t, s, "d-", "d/", "moved/x", "top")
	fill(t, s, "h_$folder$")
	wantErr(t, "rename", tree.Rename(ctx, "/h", "/i"), nil)
	fill(t, s, "k_$folder$")
	wantErr(t, "rmdir", tree.Rmdir(ctx, "/k"), nil)
	wantKeys(t, s, "d-", "d/", "i/", "moved/x", "top")
}

// dated lists prefixes with a time, as a store of folders does.
type dated struct {
	backend.Store
	when time.Time
}

func (d dated) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		for row, err := range d.Store.List(ctx, prefix, opts) {
			if row.Prefix {
				row.Updated = d.when
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// A directory is as old as the store says, or as its marker.
func TestReadDirTimes(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "plain/x", "marked/x")
	put(t, s, "marked", nil, map[string]string{"hdi_isfolder": "true"})
	marker, err := s.Stat(t.Context(), "marked")
	if err != nil {
		t.Fatal(err)
	}
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, tt := range []struct {
		store         backend.Store
		plain, marked time.Time
	}{{s, time.Time{}, marker.Updated}, {dated{s, when}, when, marker.Updated}} {
		tree := newTree(t, Mount{Path: "/", Store: tt.store, Rights: Full})
		got := map[string]time.Time{}
		for info, err := range tree.ReadDir(t.Context(), "/") {
			if err != nil {
				t.Fatal(err)
			}
			got[info.Name] = info.ModTime
		}
		if !got["plain"].Equal(tt.plain) || !got["marked"].Equal(tt.marked) {
			t.Errorf("times %v, want %v and %v", got, tt.plain, tt.marked)
		}
		if info, err := tree.Stat(t.Context(), "/marked"); err != nil || !info.ModTime.Equal(tt.marked) {
			t.Errorf("stat of a directory with a marker: %v, %v, want %v", info.ModTime, err, tt.marked)
		}
	}
}

func TestReadDirErrors(t *testing.T) {
	_, tree := rooted(t, "f", "d/x")
	_, err := names(t, tree, "/none")
	wantErr(t, "none", err, ErrNotExist)
	_, err = names(t, tree, "/f")
	wantErr(t, "file", err, ErrNotDir)
	broken := newTree(t, Mount{Path: "/", Rights: Full, Store: mem.New(mem.Config{Fault: func(op, _ string) error { return errBroken }})})
	n := 0
	for _, err = range broken.ReadDir(t.Context(), "/") {
		n++
	}
	if n != 1 || !errors.Is(err, errBroken) {
		t.Errorf("%d entries, %v", n, err)
	}
	for info, err := range tree.ReadDir(t.Context(), "/") {
		if err != nil || info.Name != "d" {
			t.Errorf("%+v, %v after the break", info, err)
		}
		break
	}
}

// ReadDir asks for a page when it needs it, and holds next to nothing.
func TestReadDirStreams(t *testing.T) {
	s := mem.New(mem.Config{Page: 10})
	for i := range 1000 {
		fill(t, s, fmt.Sprintf("f-%04d", i))
	}
	fill(t, s, "f")
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
	n := 0
	for _, err := range tree.ReadDir(t.Context(), "/") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if pages := s.Count("list"); pages > n/10+2 {
			t.Fatalf("%d pages for %d entries", pages, n)
		}
	}
	if n != 1001 {
		t.Errorf("%d entries", n)
	}
}

func TestStatRequests(t *testing.T) {
	s, tree := rooted(t, "d/x", "m/", "f")
	for name, most := range map[string]int{"/": 0, "/d": 2, "/m": 2, "/f": 2, "/none": 3} {
		before := requests(s)
		_, _ = tree.Stat(t.Context(), name)
		if n := requests(s) - before; n > most {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

func TestMkdirRmdir(t *testing.T) {
	s, tree := rooted(t, "f", "i/x/y", "h//z")
	ctx := t.Context()
	wantErr(t, "mkdir", tree.Mkdir(ctx, "/d"), nil)
	wantErr(t, "again", tree.Mkdir(ctx, "/d"), ErrExist)
	wantErr(t, "onto a file", tree.Mkdir(ctx, "/f"), ErrExist)
	wantErr(t, "onto an implicit one", tree.Mkdir(ctx, "/i"), ErrExist)
	wantErr(t, "without a parent", tree.Mkdir(ctx, "/n/d"), ErrNotExist)
	wantErr(t, "below a file", tree.Mkdir(ctx, "/f/d"), ErrNotDir)
	wantErr(t, "below an implicit one", tree.Mkdir(ctx, "/i/d"), nil)
	wantKeys(t, s, "f", "i/x/y", "h//z", "d/", "i/d/")
	wantErr(t, "rmdir", tree.Rmdir(ctx, "/d"), nil)
	wantErr(t, "again", tree.Rmdir(ctx, "/d"), ErrNotExist)
	wantErr(t, "rmdir of a file", tree.Rmdir(ctx, "/f"), ErrNotDir)
	wantErr(t, "not empty", tree.Rmdir(ctx, "/i"), ErrNotEmpty)
	wantErr(t, "hidden keys are content", tree.Rmdir(ctx, "/h"), ErrNotEmpty)
	wantErr(t, "rmdir", tree.Rmdir(ctx, "/i/d"), nil)
	wantKeys(t, s, "f", "i/x/y", "h//z")
}

// A directory outlives its last child.
func TestLastChild(t *testing.T) {
	ctx := t.Context()
	for name, remove := range map[string]func(fs FS) error{
		"file":        func(fs FS) error { return fs.Remove(ctx, "/d/e/f") },
		"rename":      func(fs FS) error { return fs.Rename(ctx, "/d/e/f", "/g") },
		"directory":   func(fs FS) error { return fs.Rename(ctx, "/d/e", "/g") },
		"empty child": func(fs FS) error { return errors.Join(fs.Remove(ctx, "/d/e/f"), fs.Rmdir(ctx, "/d/e")) },
	} {
		s, tree := rooted(t, "d/e/f")
		wantErr(t, name, remove(tree), nil)
		if info, err := tree.Stat(ctx, "/d"); err != nil || !info.Dir {
			t.Errorf("%s: /d: %+v, %v in %q", name, info, err, s.Keys())
		}
	}
	s, tree := rooted(t, "d/a", "d/b")
	wantErr(t, "not the last", tree.Remove(ctx, "/d/a"), nil)
	wantKeys(t, s, "d/b")
	s, tree = rooted(t, "d/", "d/a")
	wantErr(t, "marked", tree.Remove(ctx, "/d/a"), nil)
	wantKeys(t, s, "d/")
}

func TestRemove(t *testing.T) {
	s, tree := rooted(t, "f", "d/x", "clash", "clash/x")
	ctx := t.Context()
	wantErr(t, "file", tree.Remove(ctx, "/f"), nil)
	wantErr(t, "again", tree.Remove(ctx, "/f"), ErrNotExist)
	wantErr(t, "directory", tree.Remove(ctx, "/d"), ErrIsDir)
	wantErr(t, "clash", tree.Remove(ctx, "/clash"), ErrIsDir)
	wantKeys(t, s, "d/x", "clash", "clash/x")
	down := newTree(t, Mount{Path: "/", Rights: Full, Store: mem.New(mem.Config{Fault: func(string, string) error { return backend.ErrUnavailable }})})
	wantErr(t, "store down", down.Remove(ctx, "/x"), backend.ErrUnavailable)
}
