package vfs

import (
	"io"
	"strings"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestOpenFile(t *testing.T) {
	s, tree := rooted(t, "f", "d/x", "m/")
	ctx := t.Context()
	body, info, err := tree.Open(ctx, "/f", 1)
	if err != nil || info.Size != 1 || info.Name != "f" || info.ETag == "" || info.Object.Key != "f" {
		t.Errorf("%+v, %v", info, err)
	}
	body.Close()
	for name, want := range map[string]error{"/d": ErrIsDir, "/m": ErrIsDir, "/none": ErrNotExist, "/f/x": ErrNotExist} {
		_, _, err := tree.Open(ctx, name, 0)
		wantErr(t, name, err, want)
	}
	for _, off := range []int64{-1, 2} {
		_, _, err = tree.Open(ctx, "/f", off)
		wantErr(t, "offset", err, ErrOffset)
	}
	before := requests(s)
	read(t, tree, "/f")
	if n := requests(s) - before; n != 1 {
		t.Errorf("%d requests", n)
	}
}

// What can be refused without the bytes is refused before the first Read.
func TestPutRefused(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.MaxObject = 1000
	s := mem.New(mem.Config{Caps: &caps})
	fill(t, s, "f", "d/x", "m/", "clash", "clash/x")
	tree := newTree(t,
		Mount{Path: "/", Store: s, Rights: Full},
		Mount{Path: "/refuse", Store: s, Rights: Full, OnConflict: ConflictRefuse},
	)
	for _, c := range []struct {
		name   string
		offset int64
		opts   PutOptions
		want   error
	}{
		{"/d", 0, PutOptions{}, ErrIsDir}, {"/m", 0, PutOptions{}, ErrIsDir}, {"/clash", AtEnd, PutOptions{}, ErrIsDir},
		{"/none/f", 0, PutOptions{}, ErrNotExist}, {"/f/f", 0, PutOptions{}, ErrNotDir}, {"/none/f", AtEnd, PutOptions{}, ErrNotExist},
		{"/new", 1, PutOptions{}, ErrOffset}, {"/f", 2, PutOptions{}, ErrOffset}, {"/f", -2, PutOptions{}, ErrOffset},
		{"/f", 0, PutOptions{Create: true}, ErrExist}, {"/f", AtEnd, PutOptions{Create: true}, ErrExist},
		{"/refuse/f", 0, PutOptions{}, ErrExist},
		{"/new", 0, PutOptions{Size: 1001}, backend.ErrTooLarge}, {"/f", AtEnd, PutOptions{Size: 1000}, backend.ErrTooLarge},
	} {
		_, err := tree.Put(t.Context(), c.name, c.offset, unread{t}, c.opts)
		wantErr(t, c.name, err, c.want)
	}
	wantKeys(t, s, "f", "d/x", "m/", "clash", "clash/x")
}

func TestPutArchived(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "f")
	tree := newTree(t, Mount{Path: "/", Store: archived{s}, Rights: Full})
	_, err := tree.Put(t.Context(), "/f", AtEnd, unread{t}, PutOptions{})
	wantErr(t, "append", err, backend.ErrArchived)
}

func TestPut(t *testing.T) {
	s, tree := rooted(t, "d/x")
	ctx := t.Context()
	when := time.Unix(1000, 0).UTC()
	info, err := tree.Put(ctx, "/d/f", 0, strings.NewReader("hello"), PutOptions{ModTime: when, Create: true})
	if err != nil || info.Name != "f" || info.Size != 5 || !info.ModTime.Equal(when) || info.Rights != Full {
		t.Errorf("%+v, %v", info, err)
	}
	for _, step := range []struct {
		offset int64
		data   string
		want   string
	}{{AtEnd, " world", "hello world"}, {6, "you", "hello you"}, {AtEnd, "", "hello you"}, {5, "", "hello"}, {0, "", ""}, {AtEnd, "x", "x"}} {
		if _, err := tree.Put(ctx, "/d/f", step.offset, strings.NewReader(step.data), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, tree, "/d/f"); got != step.want {
			t.Errorf("%d %q: %q", step.offset, step.data, got)
		}
	}
	put(t, s, "typed", []byte("a"), map[string]string{"k": "v"})
	if info, err = tree.Put(ctx, "/typed", AtEnd, strings.NewReader("b"), PutOptions{}); err != nil || info.Object.Metadata["k"] != "v" {
		t.Errorf("append drops attributes: %+v, %v", info, err)
	}
	_, err = tree.Put(ctx, "/d/f", 0, io.MultiReader(strings.NewReader("half"), brokenReader{}), PutOptions{})
	if wantErr(t, "cut off", err, io.ErrUnexpectedEOF); read(t, tree, "/d/f") != "x" {
		t.Error("the old file is gone")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// meanwhile runs when it is read, and then ends.
type meanwhile func()

func (f meanwhile) Read([]byte) (int, error) { f(); return 0, io.EOF }

// The condition is checked at the commit too.
func TestPutRaces(t *testing.T) {
	ctx := t.Context()
	s := mem.New(mem.Config{})
	tree := newTree(t,
		Mount{Path: "/", Store: s, Prefix: "full/", Rights: Full},
		Mount{Path: "/drop", Store: s, Prefix: "drop/", Rights: Dropbox},
		Mount{Path: "/refuse", Store: s, Prefix: "refuse/", Rights: Full, OnConflict: ConflictRefuse},
		Mount{Path: "/rename", Store: s, Prefix: "rename/", Rights: Full, OnConflict: ConflictRename},
	)
	fill(t, s, "rename/b")
	for _, c := range []struct {
		name, key string
		offset    int64
		create    bool
		want      error
		content   string
	}{
		{"/a", "full/a", 0, true, ErrExist, "theirs"},
		{"/b", "full/b", 0, false, nil, ""}, // the last one wins
		{"/c", "full/c", AtEnd, false, ErrExist, "theirs"},
		{"/drop/a", "drop/a", 0, false, ErrExist, "theirs"},
		{"/refuse/a", "refuse/a", 0, false, ErrExist, "theirs"},
		{"/rename/a", "rename/a", 0, false, ErrExist, "theirs"},
		{"/rename/b", "rename/b (1)", 0, false, ErrExist, "theirs"},
	} {
		_, err := tree.Put(ctx, c.name, c.offset, meanwhile(func() { put(t, s, c.key, []byte("theirs"), nil) }), PutOptions{Create: c.create})
		wantErr(t, c.name, err, c.want)
		_, obj, err := s.Open(ctx, c.key, backend.OpenOptions{})
		if err != nil || obj.Size != int64(len(c.content)) {
			t.Errorf("%s: %d bytes, %v", c.name, obj.Size, err)
		}
	}
	_, err := tree.Put(ctx, "/a", AtEnd, io.MultiReader(strings.NewReader("more"), meanwhile(func() { put(t, s, "full/a", []byte("other"), nil) })), PutOptions{})
	if wantErr(t, "append to what changed", err, backend.ErrChanged); read(t, tree, "/a") != "other" {
		t.Error(read(t, tree, "/a"))
	}
}

// A name that must be new is all that who may only create files can ask for, as STOU does.
func TestPutUnique(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "theirs")
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Dropbox})
	ctx, create := t.Context(), PutOptions{Create: true}
	_, err := tree.Put(ctx, "/theirs", 0, unread{t}, create)
	wantErr(t, "taken", err, ErrExist)
	_, err = tree.Put(ctx, "/late", 0, meanwhile(func() { put(t, s, "late", []byte("theirs"), nil) }), create)
	wantErr(t, "taken meanwhile", err, ErrExist)
	_, err = tree.Put(ctx, "/free", 0, strings.NewReader("mine"), create)
	wantErr(t, "free", err, nil)
	_, err = tree.Put(ctx, "/free", 0, unread{t}, create)
	wantErr(t, "own", err, ErrExist)
	for key, size := range map[string]int64{"theirs": 6, "late": 6, "free": 4} {
		if obj, err := s.Stat(ctx, key); err != nil || obj.Size != size {
			t.Errorf("%+v, %v", obj, err)
		}
	}
}

// Another content has another digest than the one that rclone has noted.
func TestAppendDropsDigest(t *testing.T) {
	s, tree := rooted(t)
	put(t, s, "f", []byte("a"), map[string]string{"md5chksum": "of a", "k": "v"})
	if _, err := tree.Put(t.Context(), "/f", AtEnd, strings.NewReader("b"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if obj, err := s.Stat(t.Context(), "f"); err != nil || len(obj.Metadata) != 1 || obj.Metadata["k"] != "v" {
		t.Errorf("%+v, %v", obj, err)
	}
}

func TestConflictRename(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "in/r.csv", "in/r (x).csv", "in/r (7).txt", "in/r (9).csv.bak", "in/d (4)", "in/plain", "in/plain (2)/x", "in/.rc", "in/a.tar.gz", "in/r (02)", "in/plain (3)_$folder$")
	tree := newTree(t, Mount{Path: "/", Store: s, Prefix: "in/", Rights: Dropbox, OnConflict: ConflictRename})
	for _, c := range [][2]string{
		{"/r.csv", "r (1).csv"}, {"/r.csv", "r (2).csv"}, {"/plain", "plain (4)"}, {"/.rc", ".rc (1)"},
		{"/a.tar.gz", "a.tar (1).gz"}, {"/new", "new"}, {"/new", "new (1)"},
	} {
		info, err := store(t, tree, c[0], "mine")
		if err != nil || info.Name != c[1] {
			t.Errorf("%s: %+v, %v", c[0], info, err)
		}
		if info, err := tree.Stat(t.Context(), "/"+c[1]); err != nil || info.Size != 4 {
			t.Errorf("%s cannot be verified: %v", c[1], err)
		}
	}
	if _, obj, _ := s.Open(t.Context(), "in/r.csv", backend.OpenOptions{}); obj.Size != int64(len("in/r.csv")) {
		t.Error("overwritten")
	}
	_, err := tree.Put(t.Context(), "/r.csv", 0, unread{t}, PutOptions{Create: true})
	wantErr(t, "create", err, ErrExist)
}
