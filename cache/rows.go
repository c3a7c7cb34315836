package cache

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"sort"
	"time"

	"sluice/backend"
)

// rows are rows of a listing in order of their keys. They are packed into stretches, some sixty bytes a row instead of two hundred and
// fifty, and none of them with pointers for the garbage collector to follow. They never change: set and without make new ones,
// which share all stretches but one.
type rows struct {
	stretches []string // none is empty
	n         int
}

// stretch is how many rows are packed together at first; up to twice as many where rows have been added.
const stretch = 16

// pack takes rows that are in order.
func pack(entries []backend.Entry) rows {
	s := rows{n: len(entries), stretches: make([]string, 0, (len(entries)+stretch-1)/stretch)}
	var p packer
	for few := range slices.Chunk(entries, stretch) {
		s.stretches = append(s.stretches, p.pack(few))
	}
	return s
}

// bytes estimates the memory that the rows take.
func (s rows) bytes() int64 {
	n := int64(cap(s.stretches)) * 16
	for _, text := range s.stretches {
		n += int64(len(text)+len(text)/16) + stringCost
	}
	return n
}

// behind yields the rows whose keys come after a key.
func (s rows) behind(key string) iter.Seq[backend.Entry] {
	return func(yield func(backend.Entry) bool) {
		for _, text := range s.stretches[max(0, s.stretch(key)):] {
			for r := (unpacker{text: text}); r.text != ""; {
				has := r.head()
				if string(r.key) <= key {
					r.rest(has, false)
					continue
				}
				e := r.rest(has, true)
				e.Key = string(r.key)
				if !yield(e) {
					return
				}
			}
		}
	}
}

// find returns the row with that key.
func (s rows) find(key string) (e backend.Entry, ok bool) {
	i := s.stretch(key)
	if i < 0 {
		return e, false
	}
	var room [256]byte
	for r := (unpacker{text: s.stretches[i], key: room[:0]}); r.text != ""; {
		has := r.head()
		found := string(r.key) == key
		if e = r.rest(has, found); found {
			e.Key = key
			return e, true
		}
		if string(r.key) > key {
			break
		}
	}
	return backend.Entry{}, false
}

// set returns the rows with e among them, in place of one with its key.
func (s rows) set(e backend.Entry) rows {
	return s.change(e.Key, func(few []backend.Entry, i int, found bool) []backend.Entry {
		if found {
			few[i] = e
			return few
		}
		return slices.Insert(few, i, e)
	})
}

// without returns the rows but for the one with that key.
func (s rows) without(key string) rows {
	return s.change(key, func(few []backend.Entry, i int, found bool) []backend.Entry {
		if found {
			return slices.Delete(few, i, i+1)
		}
		return few
	})
}

// change rewrites the stretch that a key belongs to. i is where the key is in it, or would be.
func (s rows) change(key string, edit func(few []backend.Entry, i int, found bool) []backend.Entry) rows {
	at := max(0, s.stretch(key))
	var few []backend.Entry
	to := at
	if at < len(s.stretches) {
		to++
		for r := (unpacker{text: s.stretches[at]}); r.text != ""; {
			e := r.rest(r.head(), true)
			e.Key = string(r.key)
			few = append(few, e)
		}
	}
	before := len(few)
	i, found := slices.BinarySearchFunc(few, key, func(e backend.Entry, key string) int { return cmp.Compare(e.Key, key) })
	few = edit(few, i, found)
	most := 2 * stretch
	if len(few) > most {
		most = stretch
	}
	var p packer
	var packed []string
	for part := range slices.Chunk(few, most) {
		packed = append(packed, p.pack(part))
	}
	return rows{n: s.n - before + len(few), stretches: slices.Concat(s.stretches[:at], packed, s.stretches[to:])}
}

// stretch returns the index of the stretch that has the row with that key if there is one; -1 where it would be before all rows.
func (s rows) stretch(key string) int {
	return sort.Search(len(s.stretches), func(i int) bool {
		r := unpacker{text: s.stretches[i][1:]} // behind what the row has
		r.number()                              // 0: nothing is shared
		return r.string() > key
	}) - 1
}

// What a row has; the rest is not written.
const (
	isPrefix = 1 << iota
	isPartial
	isArchived
	hasUpdated
	hasModTime
	hasStrings // ContentType, StorageClass
	hasMaps    // Metadata, Checksums
)

// packer writes stretches.
type packer struct {
	text []byte
	key  string // of the last row
}

func (p *packer) pack(entries []backend.Entry) string {
	p.text, p.key = p.text[:0], ""
	for i := range entries {
		p.add(&entries[i])
	}
	return string(p.text)
}

// add writes a row: what it has, its key as far as it differs from the one before, and the rest.
func (p *packer) add(e *backend.Entry) {
	has := flag(isPrefix, e.Prefix) | flag(isPartial, e.Partial) | flag(isArchived, e.Archived) |
		flag(hasUpdated, !e.Updated.IsZero()) | flag(hasModTime, !e.ModTime.IsZero()) |
		flag(hasStrings, e.ContentType != "" || e.StorageClass != "") | flag(hasMaps, len(e.Metadata)+len(e.Checksums) > 0)
	shared := 0
	for shared < min(len(p.key), len(e.Key)) && p.key[shared] == e.Key[shared] {
		shared++
	}
	p.text = append(p.text, has)
	p.number(shared)
	p.string(e.Key[shared:])
	p.key = e.Key
	p.text = binary.AppendVarint(p.text, e.Size)
	p.string(e.ETag)
	if has&hasUpdated != 0 {
		p.time(e.Updated)
	}
	if has&hasModTime != 0 {
		p.time(e.ModTime)
	}
	if has&hasStrings != 0 {
		p.string(e.ContentType)
		p.string(e.StorageClass)
	}
	if has&hasMaps == 0 {
		return
	}
	p.number(len(e.Metadata))
	for _, k := range slices.Sorted(maps.Keys(e.Metadata)) {
		p.string(k)
		p.string(e.Metadata[k])
	}
	p.number(len(e.Checksums))
	for _, k := range slices.Sorted(maps.Keys(e.Checksums)) {
		p.string(k)
		p.string(string(e.Checksums[k]))
	}
}

func flag(bit byte, on bool) byte {
	if on {
		return bit
	}
	return 0
}

func (p *packer) number(n int) { p.text = binary.AppendUvarint(p.text, uint64(n)) } // #nosec G115 -- never negative

func (p *packer) string(s string) {
	p.number(len(s))
	p.text = append(p.text, s...)
}

func (p *packer) time(t time.Time) {
	p.text = binary.AppendVarint(p.text, t.Unix())
	p.number(t.Nanosecond())
}

// unpacker reads a stretch. Strings in what it returns are parts of the stretch.
type unpacker struct {
	text string // what is left
	key  []byte // of the row that was read last
}

// head reads the beginning of a row, up to its key, and returns what it has.
func (r *unpacker) head() (has byte) {
	has, r.text = r.text[0], r.text[1:]
	shared := r.number()
	r.key = append(r.key[:shared], r.string()...)
	return has
}

// rest reads what is behind the key of a row, which is in r.key. Of a row that is not wanted it makes no maps.
func (r *unpacker) rest(has byte, wanted bool) (e backend.Entry) {
	e.Prefix, e.Partial, e.Archived = has&isPrefix != 0, has&isPartial != 0, has&isArchived != 0
	e.Size, e.ETag = r.varint(), r.string()
	if has&hasUpdated != 0 {
		e.Updated = r.time()
	}
	if has&hasModTime != 0 {
		e.ModTime = r.time()
	}
	if has&hasStrings != 0 {
		e.ContentType, e.StorageClass = r.string(), r.string()
	}
	if has&hasMaps == 0 {
		return e
	}
	n := r.number()
	if wanted && n > 0 {
		e.Metadata = make(map[string]string, n)
	}
	for range n {
		if k, v := r.string(), r.string(); wanted {
			e.Metadata[k] = v
		}
	}
	n = r.number()
	if wanted && n > 0 {
		e.Checksums = make(map[string][]byte, n)
	}
	for range n {
		if k, v := r.string(), r.string(); wanted {
			e.Checksums[k] = []byte(v)
		}
	}
	return e
}

// uvarint is binary.Uvarint for strings.
func (r *unpacker) uvarint() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := r.text[0]
		r.text = r.text[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (r *unpacker) number() int { return int(r.uvarint()) } // #nosec G115 -- as the packer wrote it

func (r *unpacker) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1) // #nosec G115 -- the inverse of binary.AppendVarint
}

func (r *unpacker) string() (s string) {
	n := r.number()
	s, r.text = r.text[:n], r.text[n:]
	return s
}

func (r *unpacker) time() time.Time {
	sec := r.varint()
	return time.Unix(sec, int64(r.number())).UTC()
}
