package vfs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// What a mount writes is in its class, however it is written; elsewhere a copy keeps the class of its source.
func TestStorageClass(t *testing.T) {
	s := mem.New(mem.Config{})
	other := mem.New(mem.Config{})
	tree := newTree(t,
		Mount{Path: "/ia", Store: s, Prefix: "ia/", Rights: Full, StorageClass: "IA"},
		Mount{Path: "/any", Store: s, Prefix: "any/", Rights: Full},
		Mount{Path: "/far", Store: other, Rights: Full},
		Mount{Path: "/deep", Store: other, Prefix: "deep/", Rights: Full, StorageClass: "DEEP"})
	ctx := t.Context()
	for _, step := range []struct {
		what string
		do   func() error
		name string
		want string
	}{
		{"upload", func() error { _, err := store(t, tree, "/ia/a.csv", "1"); return err }, "/ia/a.csv", "IA"},
		{"append", func() error {
			_, err := tree.Put(ctx, "/ia/a.csv", AtEnd, strings.NewReader("2"), PutOptions{})
			return err
		}, "/ia/a.csv", "IA"},
		{"copy out", func() error { return tree.Copy(ctx, "/ia/a.csv", "/any/b.csv") }, "/any/b.csv", "IA"},
		{"upload without", func() error { _, err := store(t, tree, "/any/c", "1"); return err }, "/any/c", ""},
		{"copy in", func() error { return tree.Copy(ctx, "/any/c", "/ia/c") }, "/ia/c", "IA"},
		{"rename out", func() error { return tree.Rename(ctx, "/ia/c", "/any/d") }, "/any/d", "IA"},
		{"rename in", func() error { return tree.Rename(ctx, "/any/c", "/ia/e") }, "/ia/e", "IA"},
		{"join", func() error { return tree.Concat(ctx, "/ia/f", []string{"/ia/e"}) }, "/ia/f", "IA"},
		{"join to one that exists", func() error { return tree.Concat(ctx, "/any/b.csv", []string{"/any/d"}) }, "/any/b.csv", "IA"},
		{"to another store", func() error { return tree.Copy(ctx, "/any/b.csv", "/far/b.csv") }, "/far/b.csv", ""},
		{"to another store's class", func() error { return tree.Rename(ctx, "/any/b.csv", "/deep/b.csv") }, "/deep/b.csv", "DEEP"},
		{"time", func() error { return tree.SetTimes(ctx, "/deep/b.csv", when, time.Time{}) }, "/deep/b.csv", "DEEP"},
		{"directory", func() error {
			return errors.Join(tree.Mkdir(ctx, "/any/dir"), must(store(t, tree, "/any/dir/x", "1")), tree.Mkdir(ctx, "/any/dir/sub"), tree.Rename(ctx, "/any/dir", "/ia/dir"))
		}, "/ia/dir/x", "IA"},
		{"directory out", func() error { return tree.Rename(ctx, "/ia/dir", "/any/dir") }, "/any/dir/x", "IA"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		info, err := tree.Stat(ctx, step.name)
		if err != nil || info.Object.StorageClass != step.want {
			t.Errorf("%s: class %q, %v, want %q", step.what, info.Object.StorageClass, err, step.want)
		}
	}
	for _, key := range []string{"any/dir/", "any/dir/sub/"} {
		if o, err := s.Stat(ctx, key); err != nil || o.StorageClass != "" {
			t.Errorf("the marker %s is in class %q, %v", key, o.StorageClass, err)
		}
	}
}

func must(_ Info, err error) error { return err }

// The end of a name tells the type, also where the upload had another name first.
func TestContentType(t *testing.T) {
	s := mem.New(mem.Config{})
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
	ctx := t.Context()
	for name, want := range map[string]string{
		"/a.CSV": "text/csv", "/b.x12": "application/EDI-X12", "/c": "application/octet-stream", "/d.": "application/octet-stream", "/.xml": "application/xml",
		"/e.pdf.filepart": "application/octet-stream",
	} {
		info, err := store(t, tree, name, "x")
		if err != nil || info.Object.ContentType != want {
			t.Errorf("%s: %q, %v, want %q", name, info.Object.ContentType, err, want)
		}
	}
	for _, c := range [][3]string{
		{"/e.pdf.filepart", "/e.pdf", "application/pdf"}, // as WinSCP uploads
		{"/e.pdf", "/e.txt", "application/pdf"},          // what is known stays
		{"/c", "/f", "application/octet-stream"},
	} {
		if err := tree.Rename(ctx, c[0], c[1]); err != nil {
			t.Fatal(err)
		}
		if info, err := tree.Stat(ctx, c[1]); err != nil || info.Object.ContentType != c[2] {
			t.Errorf("%s to %s: %q, %v, want %q", c[0], c[1], info.Object.ContentType, err, c[2])
		}
	}
}

func TestRestore(t *testing.T) {
	s := mem.New(mem.Config{Cold: "GLACIER"})
	tree := newTree(t,
		Mount{Path: "/", Store: s, Rights: Full, StorageClass: "GLACIER"},
		Mount{Path: "/drop", Store: s, Prefix: "drop/", Rights: Dropbox},
		Mount{Path: "/none", Store: archived{mem.New(mem.Config{})}, Rights: Full})
	ctx := t.Context()
	for _, name := range []string{"/f", "/none/f"} {
		if _, err := store(t, tree, name, "x"); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := tree.Open(ctx, "/f", 0)
	wantErr(t, "open", err, backend.ErrArchived)
	for name, want := range map[string]error{
		"/": ErrIsDir, "/missing": backend.ErrNotExist, "/drop/f": ErrPermission, "/none/f": backend.ErrUnsupported, "/..": ErrName,
	} {
		_, err := tree.Restore(ctx, name, 1)
		wantErr(t, "restore "+name, err, want)
	}
	for i, want := range []bool{true, false} {
		if begun, err := tree.Restore(ctx, "/f", 0); err != nil || begun != want {
			t.Errorf("restore %d: %v, %v", i, begun, err)
		}
	}
	if got := read(t, tree, "/f"); got != "x" {
		t.Errorf("read %q", got)
	}
	if n := s.Count("restore"); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}
