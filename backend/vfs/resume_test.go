package vfs

import (
	"io"
	"strings"
	"testing"
	"time"

	"sluice/backend/mem"
	"sluice/backend/transfer"
)

// resuming returns a store with keys and a tree of ann's in which uploads can be resumed.
func resuming(t *testing.T, m Mount, keys ...string) (*mem.Store, *Tree) {
	t.Helper()
	s := mem.New(mem.Config{})
	fill(t, s, keys...)
	m.Path, m.Store = "/", s
	tree, err := New(Config{Mounts: []Mount{m}, Engine: transfer.New(transfer.Config{PartSize: 16}), User: "ann", Resume: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s, tree
}

// severed delivers content, and then that the line was cut.
func severed(content string) io.Reader {
	return io.MultiReader(strings.NewReader(content), readFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func cutPut(t *testing.T, fs FS, name string, offset int64, content string, opts PutOptions) {
	t.Helper()
	_, err := fs.Put(t.Context(), name, offset, severed(content), opts)
	wantErr(t, "put "+name, err, io.ErrUnexpectedEOF)
}

func wantPartial(t *testing.T, fs FS, name string, size int64) {
	t.Helper()
	info, err := fs.Stat(t.Context(), name)
	if err != nil || info.Size != size || !info.Partial || info.Name != name[1:] || info.ModTime.IsZero() {
		t.Errorf("stat %s: %+v, %v, want %d bytes", name, info, err, size)
	}
}

// wantClean checks that the store holds the keys and nothing of uploads.
func wantClean(t *testing.T, s *mem.Store, keys ...string) {
	t.Helper()
	wantKeys(t, s, keys...)
	if up := s.Uploads(); len(up) > 0 {
		t.Errorf("unfinished uploads: %q", up)
	}
}

// Who may only create cannot list, but sees and resumes what was cut off.
func TestResumeDropbox(t *testing.T) {
	s, tree := resuming(t, Mount{Rights: Dropbox}, "there")
	cutPut(t, tree, "/new", 0, "the beginning of it, and", PutOptions{})
	wantPartial(t, tree, "/new", 24)
	_, err := tree.Put(t.Context(), "/there", 0, strings.NewReader("x"), PutOptions{})
	wantErr(t, "overwrite", err, ErrPermission)
	if _, err := tree.Put(t.Context(), "/new", AtEnd, strings.NewReader(" the end"), PutOptions{}); err != nil {
		t.Error(err)
	}
	info, err := tree.Stat(t.Context(), "/new")
	if err != nil || info.Size != 32 || info.Partial {
		t.Errorf("stat: %+v, %v", info, err)
	}
	wantClean(t, s, "there", "new")
}

// Rights and rules are those of the upload that is resumed, as they are by then.
func TestResumeRights(t *testing.T) {
	for name, c := range map[string]struct {
		begin, then Mount
		offset      int64 // of the beginning
		want        error
		result      string
	}{
		"overwrite":            {Mount{Rights: Full}, Mount{Rights: Create | List | Overwrite}, 0, nil, "begin end"},
		"overwrite no more":    {Mount{Rights: Full}, Mount{Rights: Create | List | Append}, 0, ErrPermission, "old"},
		"append":               {Mount{Rights: Full}, Mount{Rights: List | Append}, AtEnd, nil, "oldbegin end"},
		"append no more":       {Mount{Rights: Full}, Mount{Rights: List | Overwrite | Create}, AtEnd, ErrPermission, "old"},
		"refuse by now":        {Mount{Rights: Full}, Mount{Rights: Full, OnConflict: ConflictRefuse}, 0, ErrExist, "old"},
		"rename":               {Mount{Rights: Full, OnConflict: ConflictRename}, Mount{Rights: Full, OnConflict: ConflictRename}, 0, nil, "old"},
		"rename, create gone":  {Mount{Rights: Full, OnConflict: ConflictRename}, Mount{Rights: List | Overwrite}, 0, ErrPermission, "old"},
		"of a user without it": {Mount{Rights: Full}, Mount{Rights: ReadOnly}, 0, ErrPermission, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			s, tree := resuming(t, c.begin)
			put(t, s, "f", []byte("old"), nil)
			cutPut(t, tree, "/f", c.offset, "begin ", PutOptions{})
			c.then.Path, c.then.Store = "/", s
			other, err := New(Config{Mounts: []Mount{c.then}, Engine: transfer.New(transfer.Config{}), User: "ann", Resume: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			info, err := other.Put(t.Context(), "/f", AtEnd, strings.NewReader("end"), PutOptions{})
			wantErr(t, "resume", err, c.want)
			if got := read(t, tree, "/f"); got != c.result {
				t.Errorf("the file is %q, want %q", got, c.result)
			}
			if name == "rename" {
				if got := read(t, tree, "/f (1)"); got != "begin end" || info.Name != "f (1)" {
					t.Errorf("%q, %+v", got, info)
				}
			}
			if err == nil {
				if up := s.Uploads(); len(up) > 0 || len(s.Keys()) > 2 {
					t.Errorf("left behind: %q, %q", up, s.Keys())
				}
			} else {
				wantPartial(t, tree, "/f", map[bool]int64{false: 6, true: 9}[c.offset == AtEnd])
			}
		})
	}
}

// What is not kept: a file with a unique name, what breaks a quota, and anything without Config.Resume.
func TestNotKept(t *testing.T) {
	s, tree := resuming(t, Mount{Rights: Full}, "f")
	cutPut(t, tree, "/unique", 0, "a name that was made up for it", PutOptions{Create: true})
	quota := io.MultiReader(strings.NewReader("more than is allowed"), readFunc(func([]byte) (int, error) { return 0, ErrQuota }))
	_, err := tree.Put(t.Context(), "/big", 0, quota, PutOptions{})
	wantErr(t, "quota", err, ErrQuota)
	off := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
	before := s.Count("list")
	cutPut(t, off, "/new", 0, "more than a single part", PutOptions{})
	if _, err := off.Stat(t.Context(), "/f"); err != nil {
		t.Error(err)
	}
	if n := s.Count("list") - before; n != 2 { // does anything lie below the name?
		t.Errorf("%d listings where nothing can be resumed", n)
	}
	wantClean(t, s, "f")
}

// To others, and as soon as a directory has the name, there is no partial file; and it cannot be read or renamed.
func TestPartialHidden(t *testing.T) {
	s, tree := resuming(t, Mount{Rights: Full}, "b")
	cutPut(t, tree, "/a", 0, "this and more", PutOptions{})
	wantNames(t, tree, "/", "a", "b")
	bob, err := New(Config{Mounts: []Mount{{Path: "/", Store: s, Rights: Full}}, Engine: tree.engine, User: "bob", Resume: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, bob, "/", "b")
	_, err = bob.Stat(t.Context(), "/a")
	wantErr(t, "bob's stat", err, ErrNotExist)
	_, _, err = tree.Open(t.Context(), "/a", 0)
	wantErr(t, "open", err, ErrNotExist)
	wantErr(t, "rename", tree.Rename(t.Context(), "/a", "/c"), ErrNotExist)
	if err := tree.Mkdir(t.Context(), "/a"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, tree, "/", "a/", "b")
	if err := tree.Rmdir(t.Context(), "/a"); err != nil {
		t.Fatal(err)
	}
	wantPartial(t, tree, "/a", 13)
	for info, err := range tree.ReadDir(t.Context(), "/") { // who wants no more gets no more
		if err != nil || info.Name != "a" {
			t.Errorf("first of the listing: %+v, %v", info, err)
		}
		break
	}
	wantErr(t, "remove", tree.Remove(t.Context(), "/a"), nil)
	wantErr(t, "remove again", tree.Remove(t.Context(), "/a"), ErrNotExist)
	wantClean(t, s, "b")
}

// A store that cannot be asked about partial files says so rather than that there are none.
func TestPartialStoreFails(t *testing.T) {
	s := mem.New(mem.Config{Fault: func(op, key string) error {
		if op == "list" && strings.HasPrefix(key, ".sluice/") {
			return errBroken
		}
		return nil
	}})
	fill(t, s, "f")
	tree, err := New(Config{Mounts: []Mount{{Path: "/", Store: s, Rights: Full}}, Engine: transfer.New(transfer.Config{}), User: "ann", Resume: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.Stat(t.Context(), "/f")
	wantErr(t, "stat", err, errBroken)
	_, err = names(t, tree, "/")
	wantErr(t, "list", err, errBroken)
	_, err = tree.Put(t.Context(), "/f", 0, unread{t}, PutOptions{})
	wantErr(t, "put", err, errBroken)
	wantErr(t, "remove", tree.Remove(t.Context(), "/f"), errBroken)
}
