package cache

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"

	"sluice/backend"
)

// List implements backend.Store. It goes through the listing chunk by chunk: what is cached is served from there, the
// rest comes from one run through the store's listing, which is shared with others who are at the same place. The first
// row comes after the store's first page, or the first 1000 rows; nothing but the chunk at hand and what is read ahead, a chunk here and a page
// in the store, is held, except by the cache.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if opts.Recursive || !cacheable(prefix, opts.After) {
		return s.inner.List(ctx, prefix, opts)
	}
	return func(yield func(backend.Entry, error) bool) {
		r := run{store: s, ctx: ctx, listing: id{s.space, prefix}, at: opts.After, limit: opts.Limit, yield: yield}
		for r.step() { //nolint:contextcheck // it is in r
		}
	}
}

// cacheable reports whether a listing is one that is kept, and after is where a row of it can be.
func cacheable(prefix, after string) bool {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return false
	}
	if after == "" {
		return true
	}
	rest, ok := strings.CutPrefix(after, prefix)
	return ok && !strings.Contains(strings.TrimSuffix(rest, "/"), "/")
}

// run is one caller's way through a listing.
type run struct {
	store   *Store
	ctx     context.Context
	listing id
	at      string // behind this key it goes on
	limit   int    // how many entries are still expected to be consumed; 0: all, or more than was said
	yield   func(backend.Entry, error) bool
}

// step goes one chunk further, or as far as a pull of its own gets, and reports whether there is more.
func (r *run) step() bool {
	if err := r.ctx.Err(); err != nil {
		return r.fail(fmt.Errorf("list %s: %w", r.listing.name, err))
	}
	pg, p, err := r.store.cache.lists.next(r.ctx, r.listing, r.at)
	switch {
	case err != nil:
		return r.fail(err)
	case p != nil:
		return r.pull(p)
	}
	return r.serve(pg)
}

func (r *run) fail(err error) bool {
	r.yield(backend.Entry{}, err)
	return false
}

// serve yields a page and reports whether there is more.
func (r *run) serve(pg page) bool {
	n := 0
	for e := range pg.rows.behind(r.at) {
		if n++; !r.yield(e, nil) {
			return false
		}
	}
	return r.went(n, pg.to, pg.final)
}

// went notes that n rows were yielded, up to a key, and reports whether there is more. Who has had as many as he expected and wants more
// anyway gets them one by one.
func (r *run) went(n int, to string, final bool) bool {
	if r.limit > 0 {
		r.limit = max(1, r.limit-n)
	}
	r.at = to
	return !final
}

// brought is a stretch of a listing as a pull has brought it, before it is packed.
type brought struct {
	rows  []backend.Entry
	to    string
	final bool
	err   error // behind the rows
}

// take yields what a pull has brought and reports whether there is more.
func (r *run) take(b brought) bool {
	for i := range b.rows {
		if !r.yield(b.rows[i], nil) {
			return false
		}
	}
	if b.err != nil {
		return r.fail(b.err)
	}
	return r.went(len(b.rows), b.to, b.final)
}

// pull goes on from the store's own listing, and reports whether there is more. Who has taken a chunk and wants all of the listing is likely to
// want what is left: then the store is asked for what comes next while the caller is still busy with what it has.
func (r *run) pull(p *pull) (more bool) {
	if r.limit > 0 {
		r.store.fetch(r.ctx, p, r.limit, func(b brought) bool {
			more = r.take(b)
			return more
		})
		return more
	}
	ctx, cancel := context.WithCancel(r.ctx)
	ahead, begun := make(chan brought), make(chan struct{})
	var failure error
	go func() {
		defer close(ahead)
		defer func() { // a panic belongs to the caller's goroutine
			if v := recover(); v != nil {
				failure = fmt.Errorf("list %s: panic: %v\n%s", r.listing.name, v, debug.Stack())
			}
		}()
		r.store.fetch(ctx, p, 0, func(b brought) bool {
			select {
			case ahead <- b:
			case <-ctx.Done():
				return false
			}
			select {
			case <-begun:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	defer func() {
		cancel()
		for range ahead { // until it has ended
		}
		if failure != nil {
			panic(failure)
		}
	}()
	first := true
	for b := range ahead {
		if !r.take(b) {
			return false
		}
		if first { // now it is more than a look whether there is anything
			close(begun)
			first = false
		}
	}
	return failure == nil
}

// fetch runs through the store's listing from where p begins, publishing each chunk before it is handed on, so that no one has to wait
// for a slow consumer. It leaves off where no more is wanted, or somebody else got further.
func (s *Store) fetch(ctx context.Context, p *pull, limit int, emit func(brought) bool) {
	l := &s.cache.lists
	var failed error
	defer func() { l.finish(p, failed) }()

	want, after := l.rows, p.from
	if limit > 0 {
		want = min(want, limit)
	}
	asked := s.cache.now()
	opts := backend.ListOptions{After: after, Limit: limit, Asks: func() func() {
		now := s.cache.now()
		return func() { asked = now }
	}}
	rows, at := make([]backend.Entry, 0, min(want, 16)), asked // most directories are small
	for e, err := range s.inner.List(ctx, p.dir.id.name, opts) {
		if err != nil {
			if ctx.Err() == nil {
				failed = err
			}
			l.finish(p, failed) // before the rows are handed on: others wait
			emit(brought{rows: rows, err: err})
			return
		}
		if e.Key <= after {
			continue
		}
		if len(rows) == 0 {
			at = asked
		}
		if rows = append(rows, e); len(rows) < want {
			continue
		}
		after = e.Key
		l.publish(p, rows, at, false)
		if !emit(brought{rows: rows, to: after}) || !l.resume(p) {
			return
		}
		want = l.rows
		rows = make([]backend.Entry, 0, want)
	}
	if len(rows) == 0 {
		at = asked
	} else {
		after = rows[len(rows)-1].Key
	}
	l.publish(p, rows, at, true)
	emit(brought{rows: rows, to: after, final: true})
}
