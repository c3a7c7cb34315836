package vfs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestConcat(t *testing.T) {
	s, tree := rooted(t, "p1", "p2", "d/p3", "e/", "dir/x", "file")
	ctx := t.Context()
	before := s.Keys()
	for _, c := range []struct {
		to   string
		from []string
		want error
	}{
		{"/new", nil, ErrNotExist}, {"/new", []string{"/p1", "/none"}, ErrNotExist}, {"/new", []string{"/p1", "/dir"}, ErrIsDir},
		{"/new", []string{"/p1", "/p1"}, ErrName}, {"/new", []string{"/new", "/p1"}, ErrNotExist}, {"/new", []string{"/p1", "/"}, ErrIsDir},
		{"/file", []string{"/p1", "/file"}, ErrName}, {"/file", []string{"/file", "/file"}, ErrName}, {"/dir", []string{"/p1"}, ErrIsDir},
		{"/", []string{"/p1"}, ErrPermission}, {"/none/new", []string{"/p1"}, ErrNotExist}, {"/file/new", []string{"/p1"}, ErrNotDir},
		{"/new", []string{"/p1", "bad"}, ErrName}, {"/file", []string{"/file"}, nil},
	} {
		wantErr(t, fmt.Sprintf("%s: %q", c.to, c.from), tree.Concat(ctx, c.to, c.from), c.want)
		wantKeys(t, s, before...)
	}
	wantErr(t, "new", tree.Concat(ctx, "/e/new", []string{"/p1", "/d/p3", "/p2"}), nil)
	wantKeys(t, s, "d/", "e/", "e/new", "dir/x", "file")
	if s.Count("open") > 0 {
		t.Error("the bytes passed through the process")
	}
	if got := read(t, tree, "/e/new"); got != "p1d/p3p2" {
		t.Error(got)
	}
}

// A directory that the file goes to needs no marker.
func TestConcatInPlace(t *testing.T) {
	s, tree := rooted(t, "d/1", "d/2")
	wantErr(t, "join", tree.Concat(t.Context(), "/d/to", []string{"/d/1", "/d/2"}), nil)
	wantKeys(t, s, "d/to")
}

// What exists is added to, whether it is named or not, and stays what it was but for its content.
func TestConcatToExisting(t *testing.T) {
	for _, named := range []bool{false, true} {
		s, tree := rooted(t, "p1", "p2")
		put(t, s, "f", []byte("begin "), map[string]string{"k": "v", "md5chksum": "of the old content"})
		wantErr(t, "time", tree.SetTimes(t.Context(), "/f", when, time.Time{}), nil)
		from := []string{"/p2", "/p1"}
		if named {
			from = append([]string{"/f"}, from...)
		}
		wantErr(t, "join", tree.Concat(t.Context(), "/f", from), nil)
		wantKeys(t, s, "f")
		obj, err := s.Stat(t.Context(), "f")
		if err != nil || !maps.Equal(obj.Metadata, map[string]string{"k": "v"}) || !obj.ModTime.IsZero() || read(t, tree, "/f") != "begin p2p1" {
			t.Errorf("%+v, %q, %v", obj, read(t, tree, "/f"), err)
		}
	}
}

func TestConcatAcrossStores(t *testing.T) {
	a, b := mem.New(mem.Config{}), mem.New(mem.Config{})
	fill(t, a, "1", "3")
	fill(t, b, "x/2", "x/4")
	tree := newTree(t, Mount{Path: "/", Store: a, Rights: Full}, Mount{Path: "/b", Store: b, Prefix: "x/", Rights: Full})
	wantErr(t, "join", tree.Concat(t.Context(), "/f", []string{"/1", "/b/2", "/3", "/b/4"}), nil)
	if got := read(t, tree, "/f"); got != "1x/23x/4" {
		t.Error(got)
	}
	wantKeys(t, a, "f")
	wantKeys(t, b)
}

func TestConcatRights(t *testing.T) {
	for _, c := range []struct {
		from, to Rights
		name     string
		want     error
	}{
		{Read | Delete, Create, "/to/new", nil}, {Read | Delete, Full &^ Create, "/to/new", ErrPermission},
		{Read | Delete, Append, "/to/old", nil}, {Read | Delete, Full &^ Append, "/to/old", ErrPermission},
		{Full &^ Read, Full, "/to/new", ErrPermission}, {Full &^ Delete, Full, "/to/new", ErrPermission},
	} {
		s := mem.New(mem.Config{})
		fill(t, s, "from/1", "from/2", "to/old")
		tree := newTree(t, Mount{Path: "/from", Store: s, Prefix: "from/", Rights: c.from}, Mount{Path: "/to", Store: s, Prefix: "to/", Rights: c.to})
		what := fmt.Sprintf("%+v", c)
		wantErr(t, what, tree.Concat(t.Context(), c.name, []string{"/from/1", "/from/2"}), c.want)
		if c.want != nil {
			wantKeys(t, s, "from/1", "from/2", "to/old")
		} else if info, err := tree.Stat(t.Context(), c.name); err != nil || info.Size < 12 {
			t.Errorf("%s: the user cannot see the own file: %+v, %v", what, info, err)
		}
	}
	s := mem.New(mem.Config{})
	fill(t, s, "a")
	wantErr(t, "archived", newTree(t, Mount{Path: "/", Store: archived{s}, Rights: Full}).Concat(t.Context(), "/b", []string{"/a"}), backend.ErrArchived)
}

// concatCase is a store with what is joined in the following tests, and the two ways in which that may end.
type concatCase struct {
	name    string
	caps    *backend.Caps
	old     string // content of /to; empty: there is none
	sources []string
}

func concatCases() (cases []concatCase) {
	for name, caps := range map[string]*backend.Caps{"inside": tinyCaps(true), "relayed": tinyCaps(false)} {
		for _, old := range []string{"", "old content"} {
			cases = append(cases,
				concatCase{name, caps, old, []string{"12345", "6789", "x"}},
				concatCase{name + ", small first", caps, old, []string{"1", "23456", "789"}})
		}
	}
	return cases
}

func (c concatCase) fill(t *testing.T, s backend.Store) (from []string) {
	if c.old != "" {
		put(t, s, "to", []byte(c.old), nil)
	}
	for i, p := range c.sources {
		key := fmt.Sprintf("d/%d", i)
		put(t, s, key, []byte(p), nil)
		from = append(from, "/"+key)
	}
	return from
}

// before and after are all that the store may hold.
func (c concatCase) before() map[string]string {
	m := map[string]string{}
	if c.old != "" {
		m["to"] = c.old
	}
	for i, p := range c.sources {
		m[fmt.Sprintf("d/%d", i)] = p
	}
	return m
}

func (c concatCase) after() map[string]string {
	return map[string]string{"to": c.old + strings.Join(c.sources, ""), "d/": ""}
}

// contents returns what a store holds.
func contents(t *testing.T, s *mem.Store) map[string]string {
	t.Helper()
	m := map[string]string{}
	tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
	for _, key := range s.Keys() {
		if m[key] = ""; !strings.HasSuffix(key, "/") {
			m[key] = read(t, tree, "/"+key)
		}
	}
	return m
}

// Whichever request fails, everything is as it was, or it is done. No failure leads to a file that is longer than it should be when the
// client tries again.
func TestConcatFaults(t *testing.T) {
	for _, c := range concatCases() {
		failed, done := 0, 0
		for step, hit := 1, true; hit; step++ {
			synctest.Test(t, func(t *testing.T) {
				f := &crash{from: step, to: step}
				s := mem.New(mem.Config{Fault: f.fail, Caps: c.caps})
				from := c.fill(t, s)
				tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
				f.arm(true)
				err := tree.Concat(t.Context(), "/to", from)
				f.arm(false)
				want := c.after()
				if hit = f.hit; err != nil {
					failed++
					if want = c.before(); slices.Contains(s.Keys(), "d/") { // a marker too many does no harm
						want["d/"] = ""
					}
				} else if hit {
					done++
				}
				if got := contents(t, s); !maps.Equal(got, want) || err != nil && !errors.Is(err, errBroken) {
					t.Errorf("%s, step %d: %v: %q, want %q", c.name, step, err, got, want)
				}
				if up := s.Uploads(); len(up) > 0 {
					t.Errorf("%s, step %d: uploads of %q are left", c.name, step, up)
				}
				if err != nil {
					wantErr(t, "again", tree.Concat(t.Context(), "/to", from), nil)
					if got := contents(t, s); !maps.Equal(got, c.after()) {
						t.Errorf("%s, step %d, again: %q", c.name, step, got)
					}
				}
			})
		}
		if failed < 5 || done < 3 {
			t.Errorf("%s: %d failed, %d healed: the faults are set wrongly", c.name, failed, done)
		}
	}
}

// A source that cannot be deleted stays, and the file is whole: an error would make the client add everything once more.
func TestConcatLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{Fault: func(op, key string) error {
			if op == "delete" && key == "b" {
				return backend.ErrUnavailable
			}
			return nil
		}})
		fill(t, s, "a", "b", "c")
		tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
		wantErr(t, "join", tree.Concat(t.Context(), "/to", []string{"/a", "/b", "/c"}), nil)
		if wantKeys(t, s, "b", "to"); read(t, tree, "/to") != "abc" {
			t.Error(read(t, tree, "/to"))
		}
	})
}

// Somebody else writes one of the files while they are joined: before that is done, it fails; afterwards the new file is
// theirs.
func TestConcatChanged(t *testing.T) {
	ran := map[string]int{}
	for _, c := range concatCases() {
		for _, key := range []string{"to", "d/0", "d/2"} {
			for _, op := range []string{"newupload", "copypart", "open", "put", "commit"} {
				var s *mem.Store
				armed, heard := false, false
				change := func() { heard = true; put(t, s, key, []byte("NEWER"), nil) }
				first := map[string]string{"open": "d/0"}[op]
				if first == "" {
					first = "to"
				}
				h := hook(op, first, change)
				s = mem.New(mem.Config{Caps: c.caps, Fault: func(op, key string) error {
					if armed {
						return h(op, key)
					}
					return nil
				}})
				from := c.fill(t, s)
				tree := newTree(t, Mount{Path: "/", Store: s, Rights: Full})
				armed = true
				err := tree.Concat(t.Context(), "/to", from)
				armed = false
				if !heard {
					continue // goes another way
				}
				ran[op]++
				what := fmt.Sprintf("%s, %s at %s", c.name, key, op)
				got := contents(t, s)
				if got[key] != "NEWER" {
					t.Errorf("%s: what somebody else wrote is gone: %q", what, got)
				}
				want := c.before()
				if err == nil { // the sources had been read
					want = c.after()
				} else if !errors.Is(err, backend.ErrChanged) {
					t.Errorf("%s: %v", what, err)
				}
				if want[key] = "NEWER"; slices.Contains(s.Keys(), "d/") {
					want["d/"] = ""
				}
				if !maps.Equal(got, want) || err == nil && key == "to" {
					t.Errorf("%s: %v: %q, want %q", what, err, got, want)
				}
				if up := s.Uploads(); len(up) > 0 {
					t.Errorf("%s: uploads of %q are left", what, up)
				}
			}
		}
	}
	if len(ran) < 5 {
		t.Errorf("not all requests were met: %v", ran)
	}
}
