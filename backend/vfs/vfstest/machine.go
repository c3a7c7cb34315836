package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/vfs"
)

// machine holds a tree and what should be in it.
type machine struct {
	fs    vfs.FS
	fixed map[string]bool
	dirs  map[string]bool      // fixed ones included
	files map[string][]byte    // content by name
	times map[string]time.Time // set with SetTimes, of files that nobody has written since
}

func newMachine(fs vfs.FS, fixed ...string) *machine {
	m := &machine{fs: fs, fixed: map[string]bool{}, dirs: map[string]bool{}, files: map[string][]byte{}, times: map[string]time.Time{}}
	for _, name := range fixed {
		m.fixed[name], m.dirs[name] = true, true
	}
	return m
}

// name draws a name: something that exists, or a new name in some directory, or any of up to three segments. Segments often
// begin alike.
func (m *machine) name(t *rapid.T, label string) string {
	segment := rapid.SampledFrom([]string{"a", "b", "a-", "a.b", "a b", "é"})
	dirs := slices.Sorted(maps.Keys(m.dirs))
	switch rapid.IntRange(0, 4).Draw(t, label) {
	case 0:
		return "/" + strings.Join(rapid.SliceOfN(segment, 1, 3).Draw(t, "segments"), "/")
	case 1:
		return rapid.SampledFrom(dirs).Draw(t, "dir")
	case 2:
		if len(m.files) > 0 {
			return rapid.SampledFrom(slices.Sorted(maps.Keys(m.files))).Draw(t, "file")
		}
	}
	return path.Join(rapid.SampledFrom(dirs).Draw(t, "dir"), segment.Draw(t, "segment"))
}

// drawData is often shorter than a part, sometimes many parts.
func drawData(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "data") }

// want compares an error with the one that the model expects.
func want(t *rapid.T, what string, got, want error) bool {
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	return want == nil
}

// isFile and isDir say what the model has at a name.
func (m *machine) isFile(name string) bool { _, ok := m.files[name]; return ok }

// enter is what going into the directory name gives.
func (m *machine) enter(name string) error {
	switch {
	case m.dirs[name]:
		return nil
	case m.isFile(name):
		return vfs.ErrNotDir
	}
	return backend.ErrNotExist
}

func (m *machine) put(t *rapid.T) {
	name, data, create := m.name(t, "name"), drawData(t), rapid.Bool().Draw(t, "create")
	var expect error
	switch {
	case m.fixed[name]:
		expect = backend.ErrPermission
	case m.dirs[name]:
		expect = vfs.ErrIsDir
	case m.isFile(name) && create:
		expect = vfs.ErrExist
	case !m.isFile(name):
		expect = m.enter(path.Dir(name))
	}
	r := io.Reader(bytes.NewReader(data))
	cut := rapid.IntRange(0, 5).Draw(t, "cut") == 0
	if cut && expect == nil {
		r, expect = io.MultiReader(r, broken{}), io.ErrUnexpectedEOF
	}
	info, err := m.fs.Put(t.Context(), name, 0, r, vfs.PutOptions{Create: create})
	if want(t, "put "+name, err, expect) {
		m.write(name, data)
		if info.Size != int64(len(data)) || info.Name != path.Base(name) || info.ETag == "" {
			t.Fatalf("put %s: %+v", name, info)
		}
	}
}

// broken is a connection that was cut.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (m *machine) append(t *rapid.T) {
	name, data, offset := m.name(t, "name"), drawData(t), rapid.Int64Range(vfs.AtEnd, 100).Draw(t, "offset")
	old := m.files[name]
	var expect error
	switch {
	case m.fixed[name]:
		expect = backend.ErrPermission
	case m.dirs[name]:
		expect = vfs.ErrIsDir
	case !m.isFile(name) && offset > 0:
		expect = vfs.ErrOffset
	case !m.isFile(name):
		expect = m.enter(path.Dir(name))
	case offset > int64(len(old)):
		expect = vfs.ErrOffset
	}
	_, err := m.fs.Put(t.Context(), name, offset, bytes.NewReader(data), vfs.PutOptions{Size: int64(len(data))})
	if want(t, fmt.Sprintf("append %s at %d", name, offset), err, expect) {
		if offset == vfs.AtEnd {
			offset = int64(len(old))
		}
		m.write(name, append(bytes.Clone(old[:offset]), data...))
	}
}

func (m *machine) open(t *rapid.T) {
	name, offset := m.name(t, "name"), rapid.Int64Range(0, 100).Draw(t, "offset")
	content, isFile := m.files[name]
	expect := m.enter(name)
	switch {
	case expect == nil:
		expect = vfs.ErrIsDir
	case isFile && offset > int64(len(content)):
		expect = vfs.ErrOffset
	case isFile:
		expect = nil
	}
	body, info, err := m.fs.Open(t.Context(), name, offset)
	if !want(t, fmt.Sprintf("open %s at %d", name, offset), err, expect) {
		return
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content[offset:]) || info.Size != int64(len(content)) {
		t.Fatalf("read %s at %d: %q, %v, %+v", name, offset, got, err, info)
	}
}

func (m *machine) remove(t *rapid.T) {
	name := m.name(t, "name")
	expect := backend.ErrNotExist
	switch {
	case m.fixed[name]:
		expect = backend.ErrPermission
	case m.dirs[name]:
		expect = vfs.ErrIsDir
	case m.isFile(name):
		expect = nil
	}
	if want(t, "remove "+name, m.fs.Remove(t.Context(), name), expect) {
		m.forget(name)
	}
}

func (m *machine) mkdir(t *rapid.T) {
	name := m.name(t, "name")
	expect := vfs.ErrExist
	if !m.dirs[name] && !m.isFile(name) {
		expect = m.enter(path.Dir(name))
	}
	if want(t, "mkdir "+name, m.fs.Mkdir(t.Context(), name), expect) {
		m.dirs[name] = true
	}
}

func (m *machine) rmdir(t *rapid.T) {
	name := m.name(t, "name")
	expect := m.enter(name)
	switch {
	case m.fixed[name]:
		expect = backend.ErrPermission
	case len(m.list(name)) > 0:
		expect = vfs.ErrNotEmpty
	}
	if want(t, "rmdir "+name, m.fs.Rmdir(t.Context(), name), expect) {
		delete(m.dirs, name)
	}
}

func (m *machine) rename(t *rapid.T) {
	from, to := m.name(t, "from"), m.name(t, "to")
	isDir := m.dirs[from]
	var expect error
	switch {
	case m.fixed[from] || m.fixed[to]:
		expect = backend.ErrPermission
	case !isDir && !m.isFile(from):
		expect = backend.ErrNotExist
	case from == to:
	case isDir && strings.HasPrefix(to, from+"/"):
		expect = vfs.ErrName
	case m.dirs[to] || isDir && m.isFile(to):
		expect = vfs.ErrExist
	case !m.isFile(to):
		expect = m.enter(path.Dir(to))
	}
	if !want(t, "rename "+from+" to "+to, m.fs.Rename(t.Context(), from, to), expect) || from == to {
		return
	}
	if !isDir {
		m.move(from, to)
		return
	}
	for dir := range m.dirs {
		if rest, ok := strings.CutPrefix(dir+"/", from+"/"); ok {
			delete(m.dirs, dir)
			m.dirs[strings.TrimSuffix(to+"/"+rest, "/")] = true
		}
	}
	for file := range maps.Clone(m.files) {
		if rest, ok := strings.CutPrefix(file, from+"/"); ok {
			m.move(file, to+"/"+rest)
		}
	}
}

func (m *machine) stat(t *rapid.T) {
	name := m.name(t, "name")
	expect := m.enter(name)
	if m.isFile(name) {
		expect = nil
	}
	info, err := m.fs.Stat(t.Context(), name)
	if want(t, "stat "+name, err, expect) && (info.Dir != m.dirs[name] || info.Size != int64(len(m.files[name])) || info.Name != path.Base(name)) {
		t.Fatalf("stat %s: %+v", name, info)
	}
	if when, ok := m.times[name]; ok && !info.ModTime.Equal(when) {
		t.Fatalf("stat %s: time %v, want %v", name, info.ModTime, when)
	}
}

func (m *machine) readDir(t *rapid.T) { m.compare(t, m.name(t, "name")) }

// check compares the whole tree with the model.
func (m *machine) check(t *rapid.T) {
	for dir := range m.dirs {
		m.compare(t, dir)
	}
}

// compare compares a listing with the model.
func (m *machine) compare(t *rapid.T, dir string) {
	var got []string
	var err error
	for info, e := range m.fs.ReadDir(t.Context(), dir) {
		if e != nil {
			err = e
			continue
		}
		got = append(got, fmt.Sprintf("%s %v %d", info.Name, info.Dir, info.Size))
	}
	if want(t, "list "+dir, err, m.enter(dir)) {
		if expect := m.list(dir); strings.Join(got, "\n") != strings.Join(expect, "\n") {
			t.Fatalf("list %s: %q, want %q", dir, got, expect)
		}
	}
}

// list returns the entries of a directory in the order of ReadDir.
func (m *machine) list(dir string) []string {
	var names []string
	for name := range m.dirs {
		if name != "/" && path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	for name := range m.files {
		if path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	sort.Slice(names, func(i, j int) bool { return names[i]+"/" < names[j]+"/" })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %v %d", path.Base(name), m.dirs[name], len(m.files[name]))
	}
	return names
}
