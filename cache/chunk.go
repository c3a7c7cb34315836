package cache

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

// chunk is a stretch of a listing: all of its rows behind from up to and including to, or to the end.
type chunk struct {
	dir  *dir
	from string // "" is the start: no row has that key
	page
	at   time.Duration // when the store was asked, or before
	cost int64
}

// page is what one who lists gets of a chunk. Nothing that it refers to changes any more.
type page struct {
	rows  rows
	to    string
	final bool // nothing is behind to
}

// dir is a listing: the chunks of it that are known, and the pulls that bring more of it.
type dir struct {
	id      id
	chunks  []*chunk // by from; they do not overlap
	bytes   int64
	pulls   map[*pull]struct{}
	flights map[string]*flight // by from: those that a newcomer may wait for
}

// holding returns the chunk whose stretch has row in it, whether or not there is such a row, or nil.
func (d *dir) holding(row string) *chunk {
	i, _ := slices.BinarySearchFunc(d.chunks, row, func(c *chunk, row string) int { return cmp.Compare(c.from, row) })
	if i == 0 { // chunks[i-1] is the last one that starts before row
		return nil
	}
	if c := d.chunks[i-1]; c.final || row <= c.to {
		return c
	}
	return nil
}

// behind returns the chunk that has what follows position at, or nil.
func (d *dir) behind(at string) *chunk {
	i, exact := slices.BinarySearchFunc(d.chunks, at, func(c *chunk, at string) int { return cmp.Compare(c.from, at) })
	if !exact {
		i--
	}
	if i < 0 {
		return nil
	}
	if c := d.chunks[i]; c.final || at < c.to {
		return c
	}
	return nil
}

// overlapping returns the chunks that share keys with the stretch behind from up to pg.to.
func (d *dir) overlapping(from string, pg page) []*chunk {
	var found []*chunk
	for _, c := range d.chunks {
		if (c.final || from < c.to) && (pg.final || c.from < pg.to) {
			found = append(found, c)
		}
	}
	return found
}

// event is what happened to a row.
type event uint8

const (
	set     event = iota // it is there, and this is it
	gone                 // it is not there any more
	unknown              // anything may have happened to it
	foreign              // so, but the mutation was somebody else's
	appears              // it may have come, but has not gone
)

type change struct {
	kind event
	row  backend.Entry // where kind is set
	at   time.Duration // when the mutation was begun: what is known of its outcome may be that old. For set and gone
}

// amend returns rows with the change made to the row of that key. ok is false where what the row is now cannot be told.
func (ch change) amend(old rows, key string) (now rows, changed, ok bool) {
	_, found := old.find(key)
	switch {
	case ch.kind == set && found && ch.row.Prefix, ch.kind == appears && found, ch.kind == gone && !found:
		return old, false, true
	case ch.kind == set:
		return old.set(ch.row), true, true
	case ch.kind == gone:
		return old.without(key), true, true
	}
	return rows{}, false, false
}

// parents yields the listings that key leaves a row in, with the key of that row: first the one that shows the object
// itself, then up to the root those that show a common prefix of it.
func parents(key string) iter.Seq2[string, string] {
	return func(yield func(dir, row string) bool) {
		dir, row := key[:strings.LastIndexByte(key, '/')+1], key
		for yield(dir, row) && dir != "" {
			dir, row = dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1], dir
		}
	}
}
