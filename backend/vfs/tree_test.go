package vfs

import (
	"context"
	"path"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

func TestNew(t *testing.T) {
	s := mem.New(mem.Config{})
	ok := Mount{Path: "/a/b", Store: s, Prefix: "x/y/", Rights: Full}
	for name, change := range map[string]func(m *Mount){
		"relative":           func(m *Mount) { m.Path = "a" },
		"trailing slash":     func(m *Mount) { m.Path = "/a/" },
		"dots":               func(m *Mount) { m.Path = "/a/../b" },
		"empty path":         func(m *Mount) { m.Path = "" },
		"no store":           func(m *Mount) { m.Store = nil },
		"prefix, no slash":   func(m *Mount) { m.Prefix = "x" },
		"prefix of slash":    func(m *Mount) { m.Prefix = "/" },
		"prefix, dots":       func(m *Mount) { m.Prefix = "x/../" },
		"prefix, empty":      func(m *Mount) { m.Prefix = "x//" },
		"prefix, reserved":   func(m *Mount) { m.Prefix = ".sluice/renames/" },
		"prefix, too long":   func(m *Mount) { m.Prefix = strings.Repeat("x", 1024) + "/" },
		"conflict":           func(m *Mount) { m.OnConflict = 3 },
		"duplicate (as is)":  func(m *Mount) {},
		"duplicate, another": func(m *Mount) { m.Prefix = "" },
	} {
		bad := ok
		change(&bad)
		if _, err := New(Config{Mounts: []Mount{ok, bad}, Engine: transfer.New(transfer.Config{})}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Config{Mounts: []Mount{ok}}); err == nil {
		t.Error("no engine: no error")
	}
}

func TestMounts(t *testing.T) {
	a, b, c := mem.New(mem.Config{}), mem.New(mem.Config{}), mem.New(mem.Config{})
	fill(t, a, "top", "in/hidden", "in/b/hidden", "in/z", "in/b-", "in", "elsewhere/x")
	fill(t, b, "pre/fix/file", "pre/fix/sub/x", "pre/other")
	fill(t, c, "deep")
	tree := newTree(t,
		Mount{Path: "/", Store: a, Rights: Full},
		Mount{Path: "/in/b", Store: b, Prefix: "pre/fix/", Rights: ReadOnly},
		Mount{Path: "/in/b/sub/c", Store: c, Rights: Full},
		Mount{Path: "/out/c", Store: c, Rights: Full},
	)
	wantNames(t, tree, "/", "elsewhere/", "in/", "out/", "top")
	wantNames(t, tree, "/in", "b-", "b/", "hidden", "z")
	wantNames(t, tree, "/in/b", "file", "sub/")
	wantNames(t, tree, "/in/b/sub", "c/", "x")
	wantNames(t, tree, "/in/b/sub/c", "deep")
	wantNames(t, tree, "/out", "c/")
	if got := read(t, tree, "/in/b/file"); got != "pre/fix/file" {
		t.Error(got)
	}
	ctx := t.Context()
	for _, name := range []string{"/", "/in", "/in/b", "/in/b/sub", "/in/b/sub/c", "/out", "/out/c"} {
		info, err := tree.Stat(ctx, name)
		if err != nil || !info.Dir || info.Name != path.Base(name) {
			t.Errorf("stat %s: %+v, %v", name, info, err)
		}
		_, err = tree.Put(ctx, name, 0, unread{t}, PutOptions{})
		wantErr(t, "put "+name, err, ErrPermission)
		wantErr(t, "remove "+name, tree.Remove(ctx, name), ErrPermission)
		wantErr(t, "rmdir "+name, tree.Rmdir(ctx, name), ErrPermission)
		wantErr(t, "rename "+name, tree.Rename(ctx, name, "/new"), ErrPermission)
		wantErr(t, "rename to "+name, tree.Rename(ctx, "/top", name), ErrPermission)
		wantErr(t, "mkdir "+name, tree.Mkdir(ctx, name), ErrExist)
		wantErr(t, "copy to "+name, tree.Copy(ctx, "/top", name), ErrPermission)
		wantErr(t, "join to "+name, tree.Concat(ctx, name, []string{"/top"}), ErrPermission)
		wantErr(t, "set time of "+name, tree.SetTimes(ctx, name, time.Unix(0, 0), time.Time{}), ErrIsDir)
		wantErr(t, "copy "+name, tree.Copy(ctx, name, "/new"), ErrIsDir)
		wantErr(t, "join "+name, tree.Concat(ctx, "/new", []string{name}), ErrIsDir)
		_, _, err = tree.Hash(ctx, name, "MD5", 0, -1)
		wantErr(t, "hash "+name, err, ErrIsDir)
		_, _, err = tree.Open(ctx, name, 0)
		wantErr(t, "open "+name, err, ErrIsDir)
	}
	wantErr(t, "rename into a read-only mount", tree.Rename(ctx, "/top", "/in/b/top"), ErrPermission)
}

// A tree without a store behind its root.
func TestNoRoot(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "x")
	tree := newTree(t, Mount{Path: "/a/b", Store: s, Rights: Full})
	ctx := t.Context()
	wantNames(t, tree, "/", "a/")
	wantNames(t, tree, "/a", "b/")
	wantNames(t, tree, "/a/b", "x")
	for _, name := range []string{"/x", "/a/x"} {
		_, err := tree.Stat(ctx, name)
		wantErr(t, "stat "+name, err, ErrNotExist)
		_, _, err = tree.Open(ctx, name, 0)
		wantErr(t, "open "+name, err, ErrNotExist)
		_, err = names(t, tree, name)
		wantErr(t, "list "+name, err, ErrNotExist)
		_, err = tree.Put(ctx, name, 0, unread{t}, PutOptions{})
		wantErr(t, "put "+name, err, ErrPermission)
		wantErr(t, "mkdir "+name, tree.Mkdir(ctx, name), ErrPermission)
		wantErr(t, "remove "+name, tree.Remove(ctx, name), ErrPermission)
		wantErr(t, "rename "+name, tree.Rename(ctx, "/a/b/x", name), ErrPermission)
		wantErr(t, "copy to "+name, tree.Copy(ctx, "/a/b/x", name), ErrPermission)
		wantErr(t, "join to "+name, tree.Concat(ctx, name, []string{"/a/b/x"}), ErrPermission)
		wantErr(t, "set time of "+name, tree.SetTimes(ctx, name, time.Unix(0, 0), time.Time{}), ErrNotExist)
		wantErr(t, "copy "+name, tree.Copy(ctx, name, "/a/b/y"), ErrNotExist)
		wantErr(t, "join "+name, tree.Concat(ctx, "/a/b/y", []string{name}), ErrNotExist)
		_, _, err = tree.Hash(ctx, name, "MD5", 0, -1)
		wantErr(t, "hash "+name, err, ErrNotExist)
	}
}

var badNames = []string{
	"", "a", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a\x00", "/a\r", "/a\nb", "/\xff", "/a_$folder$", "/_$folder$/x",
	"/.sluice", "/.sluice/renames/x", "/" + strings.Repeat("x", 1025),
}

func TestBadNames(t *testing.T) {
	s, tree := rooted(t, "x")
	ctx := t.Context()
	before := requests(s)
	for _, name := range badNames {
		_, err := tree.Stat(ctx, name)
		wantErr(t, "stat "+name, err, ErrName)
		_, err = names(t, tree, name)
		wantErr(t, "list "+name, err, ErrName)
		_, _, err = tree.Open(ctx, name, 0)
		wantErr(t, "open "+name, err, ErrName)
		_, err = tree.Put(ctx, name, 0, unread{t}, PutOptions{})
		wantErr(t, "put "+name, err, ErrName)
		wantErr(t, "mkdir "+name, tree.Mkdir(ctx, name), ErrName)
		wantErr(t, "rmdir "+name, tree.Rmdir(ctx, name), ErrName)
		wantErr(t, "remove "+name, tree.Remove(ctx, name), ErrName)
		wantErr(t, "rename "+name, tree.Rename(ctx, name, "/y"), ErrName)
		wantErr(t, "rename to "+name, tree.Rename(ctx, "/x", name), ErrName)
		wantErr(t, "set time of "+name, tree.SetTimes(ctx, name, time.Unix(0, 0), time.Time{}), ErrName)
		wantErr(t, "copy "+name, tree.Copy(ctx, name, "/y"), ErrName)
		wantErr(t, "copy to "+name, tree.Copy(ctx, "/x", name), ErrName)
		wantErr(t, "join "+name, tree.Concat(ctx, "/y", []string{"/x", name}), ErrName)
		wantErr(t, "join to "+name, tree.Concat(ctx, name, []string{"/x"}), ErrName)
		_, _, err = tree.Hash(ctx, name, "MD5", 0, -1)
		wantErr(t, "hash "+name, err, ErrName)
	}
	wantErr(t, "mkdir with no room for the slash", tree.Mkdir(ctx, "/"+strings.Repeat("x", 1024)), ErrName)
	if n := requests(s) - before; n > 0 {
		t.Errorf("%d requests", n)
	}
}

func requests(s *mem.Store) int {
	n := 0
	for _, op := range []string{"stat", "list", "open", "put", "newupload", "copy", "delete"} {
		n += s.Count(op)
	}
	return n
}

func FuzzName(f *testing.F) {
	for _, name := range append(badNames, "/", "/a", "/in", "/in/b", "/in/b/é", "/inx", "/.sluicex", "/in/.sluice", "/..a/b.. ") {
		f.Add(name)
	}
	s := mem.New(mem.Config{})
	tree := newTree(f, Mount{Path: "/", Store: s, Prefix: "users/a/"}, Mount{Path: "/in", Store: s, Prefix: "in/"})
	f.Fuzz(func(t *testing.T, name string) {
		n, err := tree.resolve(name)
		if err != nil {
			return
		}
		if path.Clean(name) != name || name[0] != '/' {
			t.Errorf("%q is not clean", name)
		}
		if n.mount == nil {
			t.Fatalf("%q is in no mount", name)
		}
		rest, ok := strings.CutPrefix(n.dir(), n.mount.Prefix)
		if !ok || !strings.HasPrefix(path.Clean("/"+n.dir()), "/"+strings.TrimSuffix(n.mount.Prefix, "/")) || strings.HasPrefix(rest, ".sluice/") {
			t.Errorf("%q leaves its mount: %q", name, n.dir())
		}
		if n.rel != "" && backend.CheckKey(n.key(), 1024) != nil {
			t.Errorf("%q: bad key %q", name, n.key())
		}
		if back := path.Join(n.mount.Path, n.rel); back != name {
			t.Errorf("%q comes back as %q", name, back)
		}
	})
}

// Each verb needs its right, and without it no store is asked.
func TestRights(t *testing.T) {
	ctx := context.Background()
	do := map[string]struct {
		needs Rights
		run   func(fs FS) error
	}{
		"stat":   {List, func(fs FS) error { _, err := fs.Stat(ctx, "/f"); return err }},
		"list":   {List, func(fs FS) error { _, err := names(t, fs, "/"); return err }},
		"open":   {Read, func(fs FS) error { _, _, err := fs.Open(ctx, "/f", 0); return err }},
		"remove": {Delete, func(fs FS) error { return fs.Remove(ctx, "/f") }},
		"rmdir":  {Delete, func(fs FS) error { return fs.Rmdir(ctx, "/d") }},
		"mkdir":  {Mkdir, func(fs FS) error { return fs.Mkdir(ctx, "/e") }},
		"rename": {Rename, func(fs FS) error { return fs.Rename(ctx, "/f", "/g") }},
		"born":   {Overwrite, func(fs FS) error { return fs.SetTimes(ctx, "/f", time.Time{}, time.Unix(0, 0)) }},
		"time":   {Overwrite, func(fs FS) error { return fs.SetTimes(ctx, "/f", time.Unix(0, 0), time.Time{}) }},
		"hash":   {Read, func(fs FS) error { _, _, err := fs.Hash(ctx, "/f", "MD5", 0, -1); return err }},
		"put":    {Create | Overwrite | Append, func(fs FS) error { _, err := store(t, fs, "/f", ""); return err }},
	}
	for name, c := range do {
		s := mem.New(mem.Config{})
		fill(t, s, "f", "d/")
		before := requests(s)
		err := c.run(newTree(t, Mount{Path: "/", Store: s, Rights: Full &^ c.needs}))
		wantErr(t, name+" without the right", err, ErrPermission)
		if n := requests(s) - before; n > 0 {
			t.Errorf("%s: %d requests without the right", name, n)
		}
		rights := c.needs
		wantErr(t, name+" with the right", c.run(newTree(t, Mount{Path: "/", Store: s, Rights: rights})), nil)
	}
	for _, c := range []struct {
		name   string
		rights Rights
		file   string
		offset int64
		want   error
	}{
		{"create", Create, "/new", 0, nil}, {"create by append", Create, "/new", AtEnd, nil},
		{"create without", Full &^ Create, "/new", 0, ErrPermission}, {"create by append without", Full &^ Create, "/new", AtEnd, ErrPermission},
		{"overwrite", Overwrite, "/f", 0, nil}, {"overwrite without", Full &^ Overwrite, "/f", 0, ErrPermission},
		{"append", Append, "/f", AtEnd, nil}, {"append without", Full &^ Append, "/f", AtEnd, ErrPermission},
		{"middle", Append, "/f", 1, nil}, {"middle without", Full &^ Append, "/f", 1, ErrPermission},
		{"worm", Worm, "/f", 0, ErrPermission}, {"worm, new", Worm, "/new", 0, nil},
	} {
		s := mem.New(mem.Config{})
		fill(t, s, "f")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: c.rights})
		r := "content"
		var err error
		if c.want != nil {
			_, err = tree.Put(ctx, c.file, c.offset, unread{t}, PutOptions{})
		} else {
			_, err = tree.Put(ctx, c.file, c.offset, strings.NewReader(r), PutOptions{})
		}
		wantErr(t, c.name, err, c.want)
	}
	s := mem.New(mem.Config{})
	fill(t, s, "f", "g")
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full &^ Overwrite}, Mount{Path: "/drop", Store: s, Prefix: "drop/", Rights: Full &^ Create})
	wantErr(t, "rename onto a file", tree.Rename(ctx, "/f", "/g"), ErrPermission)
	wantErr(t, "rename into another mount", tree.Rename(ctx, "/f", "/drop/f"), ErrPermission)
}

// Who may only drop files sees their own, and nothing else.
func TestDropbox(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "theirs", "out/report")
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Dropbox}, Mount{Path: "/out", Store: s, Prefix: "out/", Rights: ReadOnly})
	ctx := t.Context()
	start := time.Now()
	if _, err := store(t, tree, "/mine", "12345"); err != nil {
		t.Fatal(err)
	}
	info, err := tree.Stat(ctx, "/mine")
	if err != nil || info.Size != 5 || info.ModTime.Before(start.Add(-time.Second)) {
		t.Errorf("%+v, %v", info, err)
	}
	for _, name := range []string{"/theirs", "/none"} {
		_, err := tree.Stat(ctx, name)
		wantErr(t, "stat "+name, err, ErrPermission)
	}
	_, err = tree.Put(ctx, "/theirs", 0, unread{t}, PutOptions{})
	wantErr(t, "overwrite", err, ErrPermission)
	wantNames(t, tree, "/", "out/")
	wantNames(t, tree, "/out", "report")
	_, err = names(t, newTree(t, Mount{Path: "/", Store: s, Rights: Dropbox}), "/")
	wantErr(t, "list", err, ErrPermission)
	for range ownUploads {
		if _, err := store(t, tree, "/other"+time.Now().Format("150405.000000000"), ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err = tree.Stat(ctx, "/mine")
	wantErr(t, "after a thousand others", err, ErrPermission)
}
