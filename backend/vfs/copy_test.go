package vfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

var when = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// tinyCaps are limits above which a copy of a few bytes needs parts.
func tinyCaps(copyPart bool) *backend.Caps {
	c := mem.DefaultCaps()
	c.MinPart, c.MaxCopy, c.MaxCopyPart, c.CopyPart = 4, 6, 8, copyPart
	return &c
}

func TestSetTimes(t *testing.T) {
	for name, caps := range map[string]*backend.Caps{"at once": nil, "in parts": tinyCaps(true), "relayed": tinyCaps(false)} {
		s := mem.New(mem.Config{Caps: caps})
		want := backend.Attributes{ContentType: "text/plain", StorageClass: "COLD", Metadata: map[string]string{"k": "v"}}
		if _, err := s.Put(t.Context(), "f", []byte("0123456789"), backend.PutOptions{Attributes: want}); err != nil {
			t.Fatal(err)
		}
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		wantErr(t, name, tree.SetTimes(t.Context(), "/f", when, time.Time{}), nil)
		obj, err := s.Stat(t.Context(), "f")
		if err != nil || !obj.ModTime.Equal(when) || obj.ContentType != want.ContentType || obj.StorageClass != want.StorageClass || obj.Metadata["k"] != "v" {
			t.Errorf("%s: %+v, %v", name, obj, err)
		}
		if got := read(t, tree, "/f"); got != "0123456789" {
			t.Errorf("%s: %q", name, got)
		}
		before := obj.ETag
		wantErr(t, name, tree.SetTimes(t.Context(), "/f", when, time.Time{}), nil)
		if obj, _ = s.Stat(t.Context(), "f"); obj.ETag != before {
			t.Errorf("%s: written again for the same time", name)
		}
	}
}

// A time of creation changes no other time, and stays with the file when that is renamed or appended to.
func TestSetTimesCreated(t *testing.T) {
	for name, caps := range map[string]*backend.Caps{"at once": nil, "in parts": tinyCaps(true)} {
		s := mem.New(mem.Config{Caps: caps})
		if _, err := s.Put(t.Context(), "f", []byte("0123456789"), backend.PutOptions{Attributes: backend.Attributes{ModTime: when, Metadata: map[string]string{"k": "v"}}}); err != nil {
			t.Fatal(err)
		}
		fill(t, s, "d/")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		born := when.Add(-time.Hour + time.Millisecond)
		if info, err := tree.Stat(t.Context(), "/f"); err != nil || !info.Created.IsZero() {
			t.Errorf("%s: created %v, %v", name, info.Created, err)
		}
		wantErr(t, name, tree.SetTimes(t.Context(), "/f", time.Time{}, born), nil)
		before, err := s.Stat(t.Context(), "f")
		if err != nil || before.Metadata["btime"] != "2001-02-03T03:05:06.001Z" || before.Metadata["k"] != "v" {
			t.Errorf("%s: %+v, %v", name, before, err)
		}
		wantErr(t, name, tree.SetTimes(t.Context(), "/f", time.Time{}, born), nil)
		if o, _ := s.Stat(t.Context(), "f"); o.ETag != before.ETag {
			t.Errorf("%s: written again for the same time", name)
		}
		wantErr(t, name, tree.Rename(t.Context(), "/f", "/g"), nil)
		if _, err := tree.Put(t.Context(), "/g", AtEnd, strings.NewReader("more"), PutOptions{}); err != nil {
			t.Error(err)
		}
		if info, err := tree.Stat(t.Context(), "/g"); err != nil || !info.Created.Equal(born) || info.Size != 14 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		wantErr(t, name, tree.SetTimes(t.Context(), "/d", time.Time{}, born), ErrIsDir)
		wantErr(t, name, tree.SetTimes(t.Context(), "/none", time.Time{}, born), ErrNotExist)
	}
}

func TestSetTimesRefused(t *testing.T) {
	s, tree := rooted(t, "f", "d/x", "m/", "clash", "clash/x")
	for name, want := range map[string]error{
		"/": ErrIsDir, "/d": ErrIsDir, "/m": ErrIsDir, "/clash": ErrIsDir, "/none": ErrNotExist, "/f/x": ErrNotExist,
	} {
		wantErr(t, name, tree.SetTimes(t.Context(), name, when, time.Time{}), want)
	}
	tree = newTree(t, Mount{Path: "/", Store: archived{s}, Rights: Full})
	wantErr(t, "archived", tree.SetTimes(t.Context(), "/f", when, time.Time{}), backend.ErrArchived)
	if n := s.Count("copy"); n > 0 {
		t.Errorf("%d copies", n)
	}
}

// Whoever has just uploaded a file may say how old it is, and nobody else's.
func TestSetTimesOfOwn(t *testing.T) {
	for _, rights := range []Rights{Dropbox, Worm, Create | Read, Create | List} {
		s := mem.New(mem.Config{})
		fill(t, s, "theirs")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: rights})
		ctx := t.Context()
		if _, err := store(t, tree, "/mine", "12345"); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{when, when.Add(time.Hour)} {
			wantErr(t, "own", tree.SetTimes(ctx, "/mine", at, time.Time{}), nil)
			if obj, _ := s.Stat(ctx, "mine"); !obj.ModTime.Equal(at) {
				t.Errorf("%+v", obj)
			}
			if info, err := tree.Stat(ctx, "/mine"); rights != Create|Read && (err != nil || !info.ModTime.Equal(at) || info.Size != 5) {
				t.Errorf("stat: %+v, %v", info, err)
			}
		}
		before := requests(s)
		wantErr(t, "another's", tree.SetTimes(ctx, "/theirs", when, time.Time{}), ErrPermission)
		wantErr(t, "nobody's", tree.SetTimes(ctx, "/none", when, time.Time{}), ErrPermission)
		if requests(s) > before {
			t.Error("the store was asked")
		}
		put(t, s, "mine", []byte("replaced"), nil)
		wantErr(t, "no longer own", tree.SetTimes(ctx, "/mine", when, time.Time{}), ErrPermission)
		if obj, _ := s.Stat(ctx, "mine"); !obj.ModTime.IsZero() {
			t.Errorf("%+v", obj)
		}
	}
}

// hook calls f once, before the first request of this kind for this key.
func hook(op, key string, f func()) func(string, string) error {
	var done atomic.Bool
	return func(o, k string) error {
		if o == op && k == key && done.CompareAndSwap(false, true) {
			f()
		}
		return nil
	}
}

// The file changes between the look at it and the write: the new version stays as it is.
func TestSetTimesChanged(t *testing.T) {
	for op, caps := range map[string]*backend.Caps{
		"copy": nil, "newupload": tinyCaps(true), "copypart": tinyCaps(true), "commit": tinyCaps(true), "open": tinyCaps(false), "put": tinyCaps(false),
	} {
		var s *mem.Store
		armed := false
		replace := hook(op, "f", func() { put(t, s, "f", []byte("NEWER"), nil) })
		s = mem.New(mem.Config{Caps: caps, Fault: func(op, key string) error {
			if armed {
				return replace(op, key)
			}
			return nil
		}})
		put(t, s, "f", []byte("0123456789"), nil)
		if armed = true; op == "copy" {
			put(t, s, "f", []byte("01234"), nil)
		}
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		wantErr(t, op, tree.SetTimes(t.Context(), "/f", when, time.Time{}), backend.ErrChanged)
		if obj, _ := s.Stat(t.Context(), "f"); !obj.ModTime.IsZero() || read(t, tree, "/f") != "NEWER" {
			t.Errorf("%s: %+v", op, obj)
		}
		if up := s.Uploads(); len(up) > 0 {
			t.Errorf("%s: uploads of %q are left", op, up)
		}
	}
}

func TestCopyFile(t *testing.T) {
	s, tree := rooted(t, "a", "b", "d/x", "e/")
	ctx := t.Context()
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"/none", "/c", ErrNotExist}, {"/d", "/c", ErrIsDir}, {"/e", "/c", ErrIsDir}, {"/", "/c", ErrIsDir}, {"/a/x", "/c", ErrNotExist},
		{"/a", "/none/a", ErrNotExist}, {"/a", "/b/a", ErrNotDir}, {"/a", "/d", ErrExist}, {"/a", "/e", ErrExist}, {"/a", "/", ErrPermission}, {"/a", "/a", nil},
	} {
		wantErr(t, c.from+" to "+c.to, tree.Copy(ctx, c.from, c.to), c.want)
		wantKeys(t, s, "a", "b", "d/x", "e/")
	}
	put(t, s, "a", []byte("content"), map[string]string{"k": "v"})
	wantErr(t, "time", tree.SetTimes(ctx, "/a", when, time.Time{}), nil)
	wantErr(t, "new", tree.Copy(ctx, "/a", "/e/a"), nil)
	wantErr(t, "replace", tree.Copy(ctx, "/a", "/b"), nil)
	wantKeys(t, s, "a", "b", "d/x", "e/", "e/a")
	for _, key := range []string{"a", "b", "e/a"} {
		obj, err := s.Stat(ctx, key)
		if err != nil || obj.Metadata["k"] != "v" || !obj.ModTime.Equal(when) || read(t, tree, "/"+key) != "content" {
			t.Errorf("%+v, %v", obj, err)
		}
	}
	if s.Count("open") != 3 { // ours
		t.Error("the bytes passed through the process")
	}
	wantErr(t, "archived", newTree(t, Mount{Path: "/", Store: archived{s}, Rights: Full}).Copy(ctx, "/a", "/c"), backend.ErrArchived)
}

func TestCopyAcrossStores(t *testing.T) {
	a, b := mem.New(mem.Config{}), mem.New(mem.Config{})
	put(t, a, "f", []byte("content"), map[string]string{"k": "v"})
	fill(t, b, "p/old")
	tree := newTree(t, Mount{Path: "/", Store: a, Rights: Full}, Mount{Path: "/b", Store: b, Prefix: "p/", Rights: Full})
	for _, name := range []string{"/b/g", "/b/old"} {
		wantErr(t, name, tree.Copy(t.Context(), "/f", name), nil)
		if info, err := tree.Stat(t.Context(), name); err != nil || info.Object.Metadata["k"] != "v" || read(t, tree, name) != "content" {
			t.Errorf("%+v, %v", info, err)
		}
	}
	wantKeys(t, a, "f")
}

// A copy replaces what an upload would.
func TestCopyRights(t *testing.T) {
	for _, c := range []struct {
		from, to Rights
		rule     Conflict
		name     string
		want     error
		keys     []string
	}{
		{Read, Create, 0, "/to/new", nil, []string{"to/new"}},
		{Read, Full &^ Create, 0, "/to/new", ErrPermission, nil},
		{Full &^ Read, Full, 0, "/to/new", ErrPermission, nil},
		{Read, Overwrite, 0, "/to/old", nil, nil},
		{Read, Full &^ Overwrite, 0, "/to/old", ErrPermission, nil},
		{Read, Full &^ Create &^ Overwrite, 0, "/to/old", ErrPermission, nil},
		{Read, Full, ConflictRefuse, "/to/old", ErrExist, nil},
		{Read, Full, ConflictRefuse, "/to/new", nil, []string{"to/new"}},
		{Read, Create, ConflictRename, "/to/old", nil, []string{"to/old (1)"}},
		{Read, Full &^ Create, ConflictRename, "/to/old", ErrPermission, nil},
	} {
		s := mem.New(mem.Config{})
		fill(t, s, "from/f", "to/old")
		tree := newTree(t, Mount{Path: "/from", Store: s, Prefix: "from/", Rights: c.from},
			Mount{Path: "/to", Store: s, Prefix: "to/", Rights: c.to, OnConflict: c.rule})
		what := fmt.Sprintf("%+v", c)
		wantErr(t, what, tree.Copy(t.Context(), "/from/f", c.name), c.want)
		wantKeys(t, s, append(c.keys, "from/f", "to/old")...)
		_, obj, _ := s.Open(t.Context(), "to/old", backend.OpenOptions{})
		if replaced := c.want == nil && c.name == "/to/old" && c.rule == ConflictOverwrite; replaced != (obj.ETag != "2") {
			t.Errorf("%s: replaced %v", what, !replaced)
		}
		if info, err := tree.Stat(t.Context(), c.name); c.want == nil && c.rule == ConflictOverwrite && (err != nil || info.Size != 6) {
			t.Errorf("%s: the user cannot see the own copy: %+v, %v", what, info, err)
		}
	}
}

// What somebody else does to one of the files at the same moment is not undone, and no copy is of two versions.
func TestCopyChanged(t *testing.T) {
	for _, c := range []struct{ op, key, old string }{
		{"copy", "a", ""}, {"copy", "a", "old"}, {"copy", "b", ""}, {"copy", "b", "old"},
		{"copypart", "a", ""}, {"commit", "b", ""}, {"commit", "b", "old"}, {"open", "a", "old"}, {"put", "b", ""}, {"put", "b", "old"},
	} {
		at, caps := "b", tinyCaps(true)
		content := "0123456789"
		switch c.op {
		case "copy":
			content = "01234"
		case "open", "put":
			caps = tinyCaps(false)
		}
		if c.op == "open" {
			at = "a"
		}
		var s *mem.Store
		armed := false
		change := hook(c.op, at, func() { put(t, s, c.key, []byte("NEWER"), nil) })
		s = mem.New(mem.Config{Caps: caps, Fault: func(op, key string) error {
			if armed {
				return change(op, key)
			}
			return nil
		}})
		put(t, s, "a", []byte(content), nil)
		if c.old != "" {
			put(t, s, "b", []byte(c.old), nil)
		}
		armed = true
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		what := fmt.Sprintf("%+v", c)
		wantErr(t, what, tree.Copy(t.Context(), "/a", "/b"), backend.ErrChanged)
		if read(t, tree, "/"+c.key) != "NEWER" {
			t.Errorf("%s: lost", what)
		}
		if c.key == "a" && (slices.Contains(s.Keys(), "b") != (c.old != "") || c.old != "" && read(t, tree, "/b") != c.old) {
			t.Errorf("%s: %q", what, s.Keys())
		}
		if up := s.Uploads(); len(up) > 0 {
			t.Errorf("%s: uploads of %q are left", what, up)
		}
	}
}

// Whichever request fails, the copy is whole, or there is what was there before.
func TestCopyFaults(t *testing.T) {
	for _, caps := range []*backend.Caps{nil, tinyCaps(true), tinyCaps(false)} {
		for _, old := range []string{"", "old"} {
			failed := 0
			for step, hit := 1, true; hit; step++ {
				synctest.Test(t, func(t *testing.T) {
					c := &crash{from: step, to: step}
					s := mem.New(mem.Config{Fault: c.fail, Caps: caps})
					fill(t, s, "d/")
					put(t, s, "a", []byte("0123456789"), nil)
					if old != "" {
						put(t, s, "d/b", []byte(old), nil)
					}
					tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
					c.arm(true)
					err := tree.Copy(t.Context(), "/a", "/d/b")
					c.arm(false)
					hit = c.hit
					want := old
					if err == nil {
						want = "0123456789"
					} else if failed++; !errors.Is(err, errBroken) {
						t.Errorf("step %d: %v", step, err)
					}
					if got := read(t, tree, "/d/b"); got != want && (want != "" || slices.Contains(s.Keys(), "d/b")) {
						t.Errorf("step %d: %v: %q, want %q", step, err, got, want)
					}
					if up := s.Uploads(); read(t, tree, "/a") != "0123456789" || len(up) > 0 {
						t.Errorf("step %d: %q, uploads of %q", step, s.Keys(), up)
					}
				})
			}
			if failed < 3 {
				t.Errorf("%d requests failed: the faults are set wrongly", failed)
			}
		}
	}
}
