package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
)

// Partials does random uploads that are cut off and resumed, among operations on the same names, by two users in two processes each, and compares
// every answer with a model. open is as with Run; the store must be Conditional.
func Partials(t *testing.T, open func(t *rapid.T) (store backend.Store, prefix string)) {
	rapid.Check(t, func(t *rapid.T) {
		store, prefix := open(t)
		m := &cutter{prefix: prefix, files: map[string]file{}, partials: map[string]map[string]partial{}}
		engines := []*transfer.Engine{
			transfer.New(transfer.Config{PartSize: 16, Budget: transfer.NewBudget(1<<20, 0)}),
			transfer.New(transfer.Config{PartSize: 24, Budget: transfer.NewBudget(1<<20, 0)}),
		}
		for _, user := range []string{"ann", "bob"} {
			m.users = append(m.users, user)
			m.partials[user] = map[string]partial{}
			for _, engine := range engines {
				tree, err := vfs.New(vfs.Config{
					Engine: engine, User: user + prefix, Resume: time.Hour,
					Mounts: []vfs.Mount{{Path: "/", Store: store, Prefix: prefix, Rights: vfs.Full}},
				})
				if err != nil {
					t.Fatal(err)
				}
				m.trees = append(m.trees, tree)
			}
		}
		if err := m.trees[0].Mkdir(t.Context(), "/d"); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"Put":    m.put,
			"Resume": m.resume,
			"Remove": m.remove,
			"Rename": m.rename,
		})
		for name := range m.files {
			for i := range m.users {
				_ = m.trees[2*i].Remove(t.Context(), name)
			}
		}
		for i, user := range m.users {
			for name := range m.partials[user] {
				_ = m.trees[2*i].Remove(t.Context(), name)
			}
		}
		for row, err := range store.List(t.Context(), "", backend.ListOptions{Recursive: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(row.Key, ".sluice/uploads/") || strings.HasPrefix(row.Key, ".sluice/tails/") {
				t.Fatalf("left behind: %s", row.Key)
			}
		}
	})
}

// cutter is the model.
type cutter struct {
	prefix   string
	users    []string
	trees    []vfs.FS // two per user
	files    map[string]file
	partials map[string]map[string]partial // by user and name
}

type file struct {
	content []byte
	version string
}

// partial is an upload that was cut off.
type partial struct {
	content []byte
	base    string // version of the file when it began; empty: there was none
}

var partialNames = []string{"/a", "/a-", "/a.b", "/d/a", "/d/é"}

func (m *cutter) write(t *rapid.T, name string, content []byte) {
	body, info, err := m.trees[0].Open(t.Context(), name, 0)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	m.files[name] = file{content, info.ETag}
}

// counts returns what the user has of an upload, if that counts.
func (m *cutter) counts(user, name string) (partial, bool) {
	p, ok := m.partials[user][name]
	return p, ok && p.base == m.files[name].version
}

// size is what the user sees; -1: nothing.
func (m *cutter) size(user, name string) int {
	if p, ok := m.counts(user, name); ok {
		return len(p.content)
	}
	if f, ok := m.files[name]; ok {
		return len(f.content)
	}
	return -1
}

// who draws a user and one of the user's trees.
func (m *cutter) who(t *rapid.T) (string, vfs.FS) {
	i := rapid.IntRange(0, len(m.trees)-1).Draw(t, "tree")
	return m.users[i/2], m.trees[i]
}

func drawName(t *rapid.T) string { return rapid.SampledFrom(partialNames).Draw(t, "name") }

// reader ends as an upload does that is whole, or that is cut off.
func reader(data []byte, cut bool) io.Reader {
	if cut {
		return io.MultiReader(bytes.NewReader(data), broken{})
	}
	return bytes.NewReader(data)
}

func (m *cutter) put(t *rapid.T) {
	user, fs := m.who(t)
	name, data, cut := drawName(t), drawData(t), rapid.Bool().Draw(t, "cut")
	var expect error
	if cut {
		expect = io.ErrUnexpectedEOF
	}
	_, err := fs.Put(t.Context(), name, 0, reader(data, cut), vfs.PutOptions{})
	delete(m.partials[user], name)
	if want(t, "put "+name, err, expect) {
		m.write(t, name, data)
	} else if len(data) > 0 {
		m.partials[user][name] = partial{content: data, base: m.files[name].version}
	}
}

func (m *cutter) resume(t *rapid.T) {
	user, fs := m.who(t)
	name, data, cut := drawName(t), drawData(t), rapid.Bool().Draw(t, "cut")
	f := m.files[name]
	p, ok := m.counts(user, name)
	have := f.content
	if ok {
		have = p.content
	}
	offset := rapid.SampledFrom([]int{vfs.AtEnd, len(have), max(1, len(have)-3), max(1, len(have)/2), len(have) + 1}).Draw(t, "offset")
	at := offset
	if offset == vfs.AtEnd {
		at = len(have)
	}
	var expect error
	switch {
	case at > len(have):
		expect = vfs.ErrOffset
	case cut:
		expect = io.ErrUnexpectedEOF
	case ok && at+len(data) < len(have): // it is another file
		expect = backend.ErrChanged
	}
	if offset == 0 {
		return // a plain Put
	}
	_, err := fs.Put(t.Context(), name, int64(offset), reader(data, cut), vfs.PutOptions{})
	came := slices.Concat(have[:min(at, len(have))], data)
	if ok && len(came) < len(have) {
		came = have
	}
	if ok && len(came) >= len(have) {
		came = slices.Concat(have, data[min(len(data), len(have)-min(at, len(have))):])
	}
	if !ok {
		delete(m.partials[user], name) // it was void
	}
	switch {
	case want(t, fmt.Sprintf("put %s at %d", name, offset), err, expect):
		delete(m.partials[user], name)
		m.write(t, name, came)
	case errors.Is(expect, backend.ErrChanged):
		delete(m.partials[user], name)
	case errors.Is(expect, io.ErrUnexpectedEOF) && ok:
		p.content = came
		m.partials[user][name] = p
	case errors.Is(expect, io.ErrUnexpectedEOF) && len(data) > 0:
		m.partials[user][name] = partial{content: came, base: f.version}
	}
}

func (m *cutter) remove(t *rapid.T) {
	user, fs := m.who(t)
	name := drawName(t)
	var expect error
	if m.size(user, name) < 0 {
		expect = backend.ErrNotExist
	}
	want(t, "remove "+name, fs.Remove(t.Context(), name), expect)
	delete(m.files, name)
	delete(m.partials[user], name)
}

func (m *cutter) rename(t *rapid.T) {
	_, fs := m.who(t)
	from, to := drawName(t), drawName(t)
	f, exists := m.files[from]
	var expect error
	if !exists {
		expect = backend.ErrNotExist
	}
	if want(t, "rename "+from+" to "+to, fs.Rename(t.Context(), from, to), expect) && from != to {
		m.write(t, to, f.content)
		delete(m.files, from)
	}
}

// check compares what each user sees through each tree.
func (m *cutter) check(t *rapid.T) {
	for i, fs := range m.trees {
		user := m.users[i/2]
		for _, name := range partialNames {
			info, err := fs.Stat(t.Context(), name)
			size := m.size(user, name)
			_, partial := m.counts(user, name)
			if size < 0 && !errors.Is(err, backend.ErrNotExist) || size >= 0 && (err != nil || info.Size != int64(size) || info.Partial != partial || info.Name != path.Base(name)) {
				t.Fatalf("%s stats %s: %+v, %v, want %d bytes", user, name, info, err, size)
			}
			m.compare(t, fs, name)
		}
		for _, dir := range []string{"/", "/d"} {
			var got, expect []string
			for info, err := range fs.ReadDir(t.Context(), dir) {
				if err != nil {
					t.Fatalf("list %s: %v", dir, err)
				}
				if !info.Dir {
					got = append(got, fmt.Sprintf("%s %d %v", info.Name, info.Size, info.Partial))
				}
			}
			names := slices.Clone(partialNames)
			slices.SortFunc(names, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
			for _, name := range names {
				if size := m.size(user, name); size >= 0 && path.Dir(name) == dir {
					_, partial := m.counts(user, name)
					expect = append(expect, fmt.Sprintf("%s %d %v", path.Base(name), size, partial))
				}
			}
			if !slices.Equal(got, expect) {
				t.Fatalf("%s lists %s: %q, want %q", user, dir, got, expect)
			}
		}
	}
}

// compare reads a file: what was cut off is not in it.
func (m *cutter) compare(t *rapid.T, fs vfs.FS, name string) {
	f, exists := m.files[name]
	body, _, err := fs.Open(t.Context(), name, 0)
	if !exists {
		if !errors.Is(err, backend.ErrNotExist) {
			t.Fatalf("open %s: %v", name, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, f.content) {
		t.Fatalf("read %s: %q, %v, want %q", name, got, err, f.content)
	}
}
