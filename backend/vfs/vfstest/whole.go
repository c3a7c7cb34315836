package vfstest

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // one of vfs.Hashes
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"path"
	"slices"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/vfs"
)

// write, forget and move change files of the model.
func (m *machine) write(name string, data []byte) {
	m.forget(name)
	m.files[name] = data
}

func (m *machine) forget(name string) {
	delete(m.files, name)
	delete(m.times, name)
}

func (m *machine) move(from, to string) {
	m.copyOf(from, to)
	m.forget(from)
}

func (m *machine) copyOf(from, to string) {
	when, ok := m.times[from]
	if m.write(to, m.files[from]); ok {
		m.times[to] = when
	}
}

func (m *machine) setModTime(t *rapid.T) {
	name := m.name(t, "name")
	when := time.Unix(rapid.Int64Range(0, 1<<31).Draw(t, "time"), 0).UTC()
	expect := backend.ErrNotExist
	switch {
	case m.dirs[name]:
		expect = vfs.ErrIsDir
	case m.isFile(name):
		expect = nil
	}
	if want(t, "set time of "+name, m.fs.SetTimes(t.Context(), name, when, time.Time{}), expect) {
		m.times[name] = when
	}
}

func (m *machine) copy(t *rapid.T) {
	from, to := m.name(t, "from"), m.name(t, "to")
	var expect error
	switch {
	case m.fixed[to]:
		expect = backend.ErrPermission
	case m.dirs[from]:
		expect = vfs.ErrIsDir
	case !m.isFile(from):
		expect = backend.ErrNotExist
	case m.dirs[to]:
		expect = vfs.ErrExist
	case !m.isFile(to):
		expect = m.enter(path.Dir(to))
	}
	if want(t, "copy "+from+" to "+to, m.fs.Copy(t.Context(), from, to), expect) && from != to {
		m.copyOf(from, to)
	}
}

func (m *machine) concat(t *rapid.T) {
	to := m.name(t, "to")
	var from []string
	for range rapid.IntRange(0, 4).Draw(t, "sources") {
		from = append(from, m.name(t, "from"))
	}
	if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
		from = append([]string{to}, from...)
	}
	what := fmt.Sprintf("join %q to %s", from, to)
	expect := m.mayConcat(to, from)
	err := m.fs.Concat(t.Context(), to, from)
	if len(expect) > 0 {
		if !slices.ContainsFunc(expect, func(e error) bool { return errors.Is(err, e) }) {
			t.Fatalf("%s: %v, want one of %v", what, err, expect)
		}
		return
	}
	want(t, what, err, nil)
	if from[0] == to {
		from = from[1:]
	}
	if len(from) == 0 {
		return
	}
	whole := bytes.Clone(m.files[to])
	for _, name := range from {
		whole = append(whole, m.files[name]...)
		m.forget(name)
	}
	m.write(to, whole)
}

// mayConcat returns the errors of which one must come; none: it must work.
func (m *machine) mayConcat(to string, from []string) []error {
	switch {
	case m.fixed[to]:
		return []error{backend.ErrPermission}
	case len(from) == 0:
		return []error{backend.ErrNotExist}
	}
	for i, name := range from {
		switch {
		case m.fixed[name]:
			return []error{vfs.ErrIsDir}
		case i > 0 && name == to || slices.Contains(from[:i], name):
			return []error{vfs.ErrName}
		}
	}
	switch {
	case m.dirs[to]:
		return []error{vfs.ErrIsDir}
	case from[0] == to && !m.isFile(to):
		return []error{backend.ErrNotExist}
	case !m.isFile(to):
		if err := m.enter(path.Dir(to)); err != nil {
			return []error{err}
		}
	}
	var wrong []error // they are looked at all at once
	for _, name := range from {
		switch {
		case m.dirs[name]:
			wrong = append(wrong, vfs.ErrIsDir)
		case !m.isFile(name):
			wrong = append(wrong, backend.ErrNotExist)
		}
	}
	return wrong
}

var digests = map[string]func() hash.Hash{
	"CRC32":   func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":  func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"MD5":     md5.New,
	"SHA-1":   sha1.New,
	"SHA-256": sha256.New,
	"SHA-512": sha512.New,
}

func (m *machine) hash(t *rapid.T) {
	name := m.name(t, "name")
	algorithm := rapid.SampledFrom(append([]string{"SHA-3"}, vfs.Hashes...)).Draw(t, "algorithm")
	offset := int64(rapid.SampledFrom([]int{0, 0, 1, 20, 100}).Draw(t, "offset"))
	length := rapid.Int64Range(-1, 40).Draw(t, "length")
	digest, known := digests[algorithm]
	content, isFile := m.files[name]
	size := int64(len(content))
	if length == 40 && offset == 0 {
		length = size // a whole file that says so
	}
	expect := m.enter(name)
	switch {
	case !known:
		expect = backend.ErrUnsupported
	case expect == nil:
		expect = vfs.ErrIsDir
	case isFile && (offset > size || offset+length > size):
		expect = vfs.ErrOffset
	case isFile:
		expect = nil
	}
	got, n, err := m.fs.Hash(t.Context(), name, algorithm, offset, length)
	if !want(t, fmt.Sprintf("%s of %d bytes at %d of %s", algorithm, length, offset, name), err, expect) {
		return
	}
	if length < 0 {
		length = size - offset
	}
	h := digest()
	h.Write(content[offset : offset+length])
	if !bytes.Equal(got, h.Sum(nil)) || n != length {
		t.Fatalf("%s of %d bytes at %d of %s: %x of %d, want %x", algorithm, length, offset, name, got, n, h.Sum(nil))
	}
}
