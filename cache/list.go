package cache

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"sluice/backend"
)

// List implements backend.Store. It goes through the listing chunk by chunk: what is cached is served from there, the
// rest comes from one run through the store's listing, which is shared with others who are at the same place. The first
// row comes after the store's first page, or the first 1000 rows; nothing but the chunk at hand is held, except by the
// cache.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	if opts.Recursive || !cacheable(prefix, opts.After) {
		return s.inner.List(ctx, prefix, opts)
	}
	return func(yield func(backend.Entry, error) bool) {
		r := run{store: s, ctx: ctx, listing: id{s.space, prefix}, at: opts.After, limit: opts.Limit, yield: yield}
		for r.step() {
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
	for i := range pg.rows {
		if pg.rows[i].Key > r.at && !r.yield(pg.rows[i], nil) {
			return false
		}
	}
	r.at, r.limit = pg.to, max(0, r.limit-len(pg.rows))
	return !pg.final
}

// pull runs through the store's listing, publishing each chunk before it yields its rows, so that no one has to wait for a
// slow consumer. It leaves off where somebody else got further, and reports whether there is more.
func (r *run) pull(p *pull) bool {
	l := &r.store.cache.lists
	var failed error
	defer func() { l.finish(p, failed) }()

	want := l.rows
	if r.limit > 0 {
		want = min(want, r.limit)
	}
	rows := make([]backend.Entry, 0, min(want, 16)) // most directories are small
	opts := backend.ListOptions{After: r.at, Limit: r.limit}
	for e, err := range r.store.inner.List(r.ctx, r.listing.name, opts) {
		if err != nil {
			if r.ctx.Err() == nil {
				failed = err
			}
			l.finish(p, failed) // before the rows are yielded: others wait
			return r.serve(page{rows: rows, to: r.at}) && r.fail(err)
		}
		if e.Key <= r.at {
			continue
		}
		if rows = append(rows, e); len(rows) < want {
			continue
		}
		if !r.serve(l.publish(p, rows, false)) {
			return false
		}
		if !l.resume(p) {
			return true
		}
		want = l.rows
		rows = make([]backend.Entry, 0, want)
	}
	return r.serve(l.publish(p, rows, true))
}
