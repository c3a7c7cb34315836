package vfs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

func TestRenameFile(t *testing.T) {
	s, tree := rooted(t, "a", "b", "d/x", "e/")
	ctx := t.Context()
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"/none", "/c", ErrNotExist}, {"/a", "/none/a", ErrNotExist}, {"/a", "/b/a", ErrNotDir}, {"/a", "/d", ErrExist}, {"/a", "/e", ErrExist},
		{"/d", "/a", ErrExist}, {"/d", "/e", ErrExist}, {"/d", "/d/sub", ErrName}, {"/d", "/d/sub/sub", ErrName}, {"/a", "/a", nil}, {"/d", "/d", nil},
	} {
		wantErr(t, c.from+" to "+c.to, tree.Rename(ctx, c.from, c.to), c.want)
		wantKeys(t, s, "a", "b", "d/x", "e/")
	}
	wantErr(t, "move", tree.Rename(ctx, "/a", "/e/a"), nil)
	wantErr(t, "replace", tree.Rename(ctx, "/e/a", "/b"), nil)
	if wantKeys(t, s, "b", "d/x", "e/"); read(t, tree, "/b") != "a" {
		t.Errorf("content %q", read(t, tree, "/b"))
	}
}

func TestRenameAcrossStores(t *testing.T) {
	a, b := mem.New(mem.Config{}), mem.New(mem.Config{})
	put(t, a, "f", []byte("content"), map[string]string{"k": "v"})
	fill(t, a, "d/x")
	tree := newTree(t, Mount{Path: "/", Store: a, Rights: Full}, Mount{Path: "/b", Store: b, Prefix: "p/", Rights: Full})
	ctx := t.Context()
	wantErr(t, "file", tree.Rename(ctx, "/f", "/b/g"), nil)
	wantErr(t, "directory", tree.Rename(ctx, "/d", "/b/d"), backend.ErrUnsupported)
	wantKeys(t, a, "d/x")
	wantKeys(t, b, "p/g")
	if obj, err := b.Stat(ctx, "p/g"); err != nil || obj.Metadata["k"] != "v" || read(t, tree, "/b/g") != "content" {
		t.Errorf("%+v, %v", obj, err)
	}
}

// The source changes while it is copied: the new version stays, and the copy does not.
func TestRenameChanged(t *testing.T) {
	for _, conditional := range []bool{true, false} {
		for _, replace := range []bool{false, true} {
			caps := mem.DefaultCaps()
			caps.Conditional = conditional
			var s *mem.Store
			s = mem.New(mem.Config{Caps: &caps, Lost: func(op, _ string) error {
				if op == "copy" {
					put(t, s, "a", []byte("newer"), nil)
				}
				return nil
			}})
			fill(t, s, "a")
			if replace {
				fill(t, s, "b")
			}
			tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
			wantErr(t, "rename", tree.Rename(t.Context(), "/a", "/b"), backend.ErrChanged)
			if read(t, tree, "/a") != "newer" || replace != slices.Contains(s.Keys(), "b") {
				t.Errorf("%q, /a %q", s.Keys(), read(t, tree, "/a"))
			}
		}
	}
}

// A store that does not let the source go, for a hold or a retention period, leaves nothing changed.
func TestRenameHeld(t *testing.T) {
	s := mem.New(mem.Config{Fault: func(op, key string) error {
		if op == "delete" && key == "d/a" {
			return backend.ErrPermission
		}
		return nil
	}})
	fill(t, s, "d/a")
	wantErr(t, "rename", newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(t.Context(), "/d/a", "/b"), backend.ErrPermission)
	wantKeys(t, s, "d/", "d/a")
}

// moving returns a store that can move, and a tree over it.
func moving(t *testing.T, cfg mem.Config, keys ...string) (*mem.Store, *Tree) {
	caps := mem.DefaultCaps()
	caps.Move = true
	cfg.Caps = &caps
	s := mem.New(cfg)
	fill(t, s, keys...)
	return s, newTree(t, Mount{Path: "/", Store: s, Rights: Full}, Mount{Path: "/cold", Store: s, Prefix: "cold/", Rights: Full, StorageClass: "COLD"})
}

// One step where the store has one; two where the file changes its class, or where the server turns out to lack it.
func TestRenameMoves(t *testing.T) {
	refuse := func(op, _ string) error {
		if op == "move" {
			return backend.ErrUnsupported
		}
		return nil
	}
	for name, c := range map[string]struct {
		from, to      string
		cfg           mem.Config
		moves, copies int
		want          []string
	}{
		"new name":        {"/d/a", "/d/b", mem.Config{}, 1, 0, []string{"c", "d/", "d/b", "d/part"}},
		"over another":    {"/d/a", "/c", mem.Config{}, 1, 0, []string{"c", "d/", "d/part"}},
		"with a type now": {"/d/part", "/d/x.csv", mem.Config{}, 1, 1, []string{"c", "d/", "d/a", "d/x.csv"}},
		"another class":   {"/d/a", "/cold/a", mem.Config{}, 0, 1, []string{"c", "cold/a", "d/", "d/part"}},
		"no such call":    {"/d/a", "/d/b", mem.Config{Fault: refuse}, 1, 1, []string{"c", "d/", "d/b", "d/part"}},
	} {
		s, tree := moving(t, c.cfg, "c", "d/", "d/a", "d/part")
		if err := tree.Rename(t.Context(), c.from, c.to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantKeys(t, s, c.want...)
		if got := read(t, tree, c.to); s.Count("move") != c.moves || s.Count("copy") != c.copies || got != c.from[1:] {
			t.Errorf("%s: %d moves and %d copies, content %q", name, s.Count("move"), s.Count("copy"), got)
		}
		if o, err := s.Stat(t.Context(), "d/x.csv"); name == "with a type now" && o.ContentType != contentType("x.csv") {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	// The last file of a directory leaves it behind.
	s, tree := moving(t, mem.Config{}, "d/a")
	wantErr(t, "last", tree.Rename(t.Context(), "/d/a", "/b"), nil)
	wantKeys(t, s, "b", "d/")
}

// A destination that appears, or a source that changes, at the last moment: nothing moves.
func TestRenameMoveRaces(t *testing.T) {
	for _, key := range []string{"a", "b"} {
		var s *mem.Store
		fault := func(op, _ string) error {
			if op == "move" {
				put(t, s, key, []byte("newer"), nil)
			}
			return nil
		}
		var tree *Tree
		s, tree = moving(t, mem.Config{Fault: fault}, "a")
		wantErr(t, "rename", tree.Rename(t.Context(), "/a", "/b"), backend.ErrChanged)
		if got := read(t, tree, "/"+key); got != "newer" || s.Count("copy") > 0 {
			t.Errorf("%s: %q, %q", key, got, s.Keys())
		}
	}
}

// A delete that worked, though its answer was lost and a retry found nothing, is a success: the copy must not go.
func TestRenameLostAnswer(t *testing.T) {
	s := mem.New(mem.Config{Lost: func(op, key string) error {
		if op == "delete" {
			return backend.ErrChanged
		}
		return nil
	}})
	fill(t, s, "a")
	wantErr(t, "rename", newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(t.Context(), "/a", "/b"), nil)
	wantKeys(t, s, "b")
}

// Whatever operation fails, the content is under at least one name, and after a failure that is known, under the old one.
func TestRenameFileFaults(t *testing.T) {
	for _, moves := range []bool{false, true} {
		for step, hit := 1, true; hit; step++ {
			c := &crash{from: step, to: step}
			caps := mem.DefaultCaps()
			caps.Move = moves
			s := mem.New(mem.Config{Caps: &caps, Fault: c.fail})
			fill(t, s, "d/a")
			tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
			c.arm(true)
			err := tree.Rename(t.Context(), "/d/a", "/b")
			c.arm(false)
			if hit = c.hit; hit != (err != nil) {
				t.Errorf("step %d: hit %v, %v", step, hit, err)
			}
			switch a, b := slices.Contains(s.Keys(), "d/a"), slices.Contains(s.Keys(), "b"); {
			case err == nil && (a || !b), err != nil && !a:
				t.Errorf("step %d: %v: %q", step, err, s.Keys())
			}
		}
	}
}

// crash lets the requests fail that have certain numbers.
type crash struct {
	from, to int // numbers of the requests that fail
	mu       sync.Mutex
	n        int
	armed    bool
	hit      bool
}

func (c *crash) arm(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = on
}

func (c *crash) fail(string, string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed {
		return nil
	}
	c.n++
	if c.n >= c.from && c.n <= c.to {
		c.hit = true
		return fmt.Errorf("%w: %w", errBroken, backend.ErrUnavailable)
	}
	return nil
}

var dirKeys = []string{"d/", "d/a", "d/b/c", "d/b/", "d//hidden", "d/e_$folder$", "d/.hidden", "d/z/é"}

func TestRenameDir(t *testing.T) {
	s, tree := rooted(t, append([]string{"da", "d-", "other"}, dirKeys...)...)
	put(t, s, "d/meta", nil, map[string]string{"k": "v"})
	wantErr(t, "rename", tree.Rename(t.Context(), "/d", "/new"), nil)
	want := []string{"da", "d-", "other", "new/meta"}
	for _, key := range dirKeys {
		want = append(want, "new"+key[1:])
	}
	wantKeys(t, s, want...)
	if obj, _ := s.Stat(t.Context(), "new/meta"); obj.Metadata["k"] != "v" {
		t.Errorf("%+v", obj)
	}
	if got := read(t, tree, "/new/a"); got != "d/a" {
		t.Error(got)
	}
}

func TestRenameDirLimit(t *testing.T) {
	s := mem.New(mem.Config{})
	fill(t, s, "d/1", "d/2", "d/3")
	for limit, want := range map[int]error{2: ErrTooMany, 3: nil} {
		tree, err := New(Config{Mounts: []Mount{{Path: "/", Store: s, Rights: Full}}, Engine: transfer.New(transfer.Config{}), RenameLimit: limit})
		if err != nil {
			t.Fatal(err)
		}
		if want != nil {
			wantErr(t, "above the limit", tree.Rename(t.Context(), "/d", "/e"), want)
			wantKeys(t, s, "d/1", "d/2", "d/3")
		}
	}
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
	wantErr(t, "names too long", tree.Rename(t.Context(), "/d", "/"+strings.Repeat("x", 1023)), ErrName)
	wantKeys(t, s, "d/1", "d/2", "d/3")
}

// What is uploaded into the directory while it moves stays where it was put.
func TestRenameDirRaces(t *testing.T) {
	for _, c := range []struct {
		name, op, key string
		want          error
		keys          []string
	}{
		{"new file in the source", "copy", "d/new", nil, []string{"e/a", "e/b", "d/new"}},
		{"file at the destination", "copy", "e/new", nil, []string{"e/a", "e/b", "e/new"}},
		{"changed before the copy", "journal 1", "d/b", backend.ErrChanged, []string{"d/a", "d/b"}},
		{"changed after the copy", "journal 2", "d/b", backend.ErrChanged, []string{"e/a", "e/b", "d/b"}},
		{"copy overwritten", "list e/", "e/b", backend.ErrChanged, []string{"d/a", "d/b", "e/b"}},
		{"in the way", "journal 1", "e/b", backend.ErrChanged, []string{"d/a", "d/b", "e/b"}},
	} {
		var s *mem.Store
		var mu sync.Mutex
		done, journal := false, 0
		s = mem.New(mem.Config{Fault: func(op, key string) error {
			mu.Lock()
			if op == "put" && strings.HasPrefix(key, journals) {
				journal++
				op = fmt.Sprint("journal ", journal)
			}
			if op == "list" && key == "e/" && journal > 0 { // not before the copies
				op = "list e/"
			}
			now := op == c.op && !done
			done = done || now
			mu.Unlock()
			if now {
				put(t, s, c.key, []byte("NEW"), nil) // as long as what it may replace
			}
			return nil
		}})
		fill(t, s, "d/a", "d/b")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		err := tree.Rename(t.Context(), "/d", "/e")
		wantErr(t, c.name, err, c.want)
		wantKeys(t, s, c.keys...)
		if got := read(t, tree, "/"+c.key); got != "NEW" {
			t.Errorf("%s: %s was lost: %s", c.name, c.key, got)
		}
	}
}

// A single failure is healed at once: either the directory has moved, or it has not.
func TestRenameDirFault(t *testing.T) {
	for _, c := range []struct{ old, moved []string }{
		{[]string{"d/a", "d/b/c"}, []string{"e/a", "e/b/c"}},
		{[]string{"d_$folder$"}, []string{"e/"}},
	} {
		for step, hit := 1, true; hit; step++ {
			synctest.Test(t, func(t *testing.T) {
				fault := &crash{from: step, to: step}
				s := mem.New(mem.Config{Fault: fault.fail})
				fill(t, s, c.old...)
				tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
				fault.arm(true)
				err := tree.Rename(t.Context(), "/d", "/e")
				fault.arm(false)
				hit = fault.hit
				recovered(t, s)
				got := s.Keys()
				if moved := slices.Equal(got, c.moved); !moved && (err == nil || !slices.Equal(got, c.old)) {
					t.Errorf("step %d: %v: %q", step, err, got)
				}
			})
		}
	}
}

func TestRenameDirCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := mem.New(mem.Config{Fault: func(op, _ string) error {
		if op == "copy" {
			cancel()
		}
		return nil
	}})
	for i := range 100 {
		fill(t, s, fmt.Sprintf("d/%02d", i))
	}
	before := s.Keys()
	wantErr(t, "rename", newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(ctx, "/d", "/e"), context.Canceled)
	wantKeys(t, s, before...)
}

// rowed answers whoever allows it with what a row of a listing shows.
type rowed struct{ *mem.Store }

func (r rowed) Stat(ctx context.Context, key string) (backend.Object, error) {
	o, err := r.Store.Stat(ctx, key)
	if err == nil && backend.PartialAllowed(ctx) {
		o = backend.Object{Key: o.Key, Size: o.Size, Updated: o.Updated, ETag: o.ETag, StorageClass: o.StorageClass, Partial: true}
	}
	return o, err
}

// What a rename has seen of a file in a listing alone is not all that the file is.
func TestRenamePartial(t *testing.T) {
	for _, moves := range []bool{false, true} {
		caps := mem.DefaultCaps()
		caps.Move, caps.ListMetadata = moves, false
		s := rowed{mem.New(mem.Config{Caps: &caps})}
		other := mem.New(mem.Config{})
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full}, Mount{Path: "/other", Store: other, Rights: Full})
		for from, to := range map[string]string{"/a": "/b", "/c.part": "/c.csv", "/e": "/other/e"} {
			put(t, s, from[1:], []byte("content"), map[string]string{"k": "v"})
			wantErr(t, from, tree.Rename(t.Context(), from, to), nil)
			info, err := tree.Stat(t.Context(), to)
			if err != nil || info.Object.Metadata["k"] != "v" || read(t, tree, to) != "content" {
				t.Errorf("moves %v: %s: %+v, %v", moves, to, info, err)
			}
			if typ := info.Object.ContentType; to == "/c.csv" && typ != contentType(to) {
				t.Errorf("moves %v: type %q", moves, typ)
			}
		}
		// An empty object may be a directory of another tool: its row does not tell.
		put(t, s, "folder", nil, map[string]string{"hdi_isfolder": "true"})
		wantErr(t, "remove", tree.Remove(t.Context(), "/folder"), ErrIsDir)
		wantErr(t, "mkdir", tree.Mkdir(t.Context(), "/folder"), ErrExist)
		wantErr(t, "rmdir", tree.Rmdir(t.Context(), "/folder"), nil)
		wantKeys(t, s.Store, "b", "c.csv")
	}
}

// A rename that fails takes its copies away, also of what has changed since: they would be in the way of the next one.
func TestRenameDirTakesBack(t *testing.T) {
	var s *mem.Store
	copied := false
	s = mem.New(mem.Config{Fault: func(op, key string) error {
		if copied = copied || op == "copy" && key == "e/a"; copied && op == "list" && key == "e/" {
			put(t, s, "d/a", []byte("newer"), nil)
			put(t, s, "e/b", []byte("in the way"), nil)
		}
		return nil
	}})
	fill(t, s, "d/a", "d/b")
	wantErr(t, "rename", newTree(t, Mount{Path: "/", Store: s, Rights: Full}).Rename(t.Context(), "/d", "/e"), backend.ErrChanged)
	wantKeys(t, s, "d/a", "d/b", "e/b")
}

// TestRenameUpward: a marker goes, from the source or from what was copied in vain, when nothing is left in its directory.
func TestRenameUpward(t *testing.T) {
	for _, fails := range []bool{false, true} {
		var s *mem.Store
		watched, copied := "", 0
		s = mem.New(mem.Config{Fault: func(op, key string) error {
			if fails && op == "copy" && key == watched+"z" {
				for n := 0; n < copied; { // all others are there
					n = 0
					for _, k := range s.Keys() {
						if strings.HasPrefix(k, watched) {
							n++
						}
					}
					time.Sleep(time.Millisecond)
				}
				return errBroken
			}
			if op == "delete" && strings.HasSuffix(key, "/") && strings.HasPrefix(key, watched) {
				for _, k := range s.Keys() {
					if strings.HasPrefix(k, key) && k != key {
						t.Errorf("%s goes while there is %s", key, k)
					}
				}
			}
			return nil
		}})
		all := []string{"d/"}
		for _, dir := range []string{"d/a/", "d/a/b/", "d/a/b/c/", "d/a-b/", "d/e/"} {
			all = append(all, dir, dir+"1", dir+"2")
		}
		all = append(all, "d/z")
		fill(t, s, all...)
		tree := newTree(t, Mount{Path: "/", Rights: Full, Store: s})
		if watched = "d/"; fails {
			watched, copied = "to/", len(all)-1
		}
		err := tree.Rename(t.Context(), "/d", "/to")
		wantErr(t, "rename", err, map[bool]error{true: errBroken}[fails])
		if left := s.Keys(); len(left) != len(all) || strings.HasPrefix(left[0], "d/") != fails {
			t.Errorf("%q", left)
		}
	}
}

// TestRenameFolders: what marks a directory in a store that has them is not deleted while something is in it, which would be refused, and tried again
// for as long as that lasts.
func TestRenameFolders(t *testing.T) {
	var s *mem.Store
	armed := false
	s = mem.New(mem.Config{Fault: func(op, key string) error {
		if op == "delete" && armed {
			for _, k := range s.Keys() {
				if strings.HasPrefix(k, key+"/") {
					t.Errorf("%s goes while there is %s", key, k)
					return errBroken
				}
			}
		}
		return nil
	}})
	for _, dir := range []string{"d", "d/a", "d/a/b"} {
		put(t, s, dir, nil, map[string]string{"hdi_isfolder": "true"})
		fill(t, s, dir+"/1", dir+"/2")
	}
	armed = true
	tree := newTree(t, Mount{Path: "/", Rights: Full, Store: s})
	wantErr(t, "rename", tree.Rename(t.Context(), "/d", "/to"), nil)
	for _, k := range s.Keys() {
		if strings.HasPrefix(k, "d") {
			t.Errorf("%s is left", k)
		}
	}
}
