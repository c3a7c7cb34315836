package cache

import (
	"context"
	"fmt"
	"time"

	"sluice/backend"
)

// chunkRows is how many rows of a listing are kept, shared and dropped as one: a page of S3 and GCS.
const chunkRows = 1000

// pull is one run through the store's own listing, driven by one caller from start to end. It may hold rows that the store
// gave long before they are reached, so all that happens to the listing meanwhile is noted.
type pull struct {
	dir     *dir
	at      time.Duration // when the store was asked for what it has brought last, or before
	from    string        // behind this key it goes on
	flight  *flight       // the chunk that is being filled; nil while nobody may wait for it
	touched map[string]change
	stale   bool // nothing of it is worth keeping
}

// flight is a chunk that a pull is filling, and those who wait for it.
type flight struct {
	done chan struct{}
	page page
	err  error
	void bool // no outcome: the one who pulled has gone away
}

// touch notes what happened to a row; who comes now may not wait for this pull any more. Needs the lock of the listings.
func (p *pull) touch(row string, ch change) {
	p.close()
	if len(p.touched) == chunkRows {
		p.spoil()
	}
	if p.stale {
		return
	}
	if p.touched == nil {
		p.touched = map[string]change{}
	}
	p.touched[row] = ch
}

// spoil makes a pull worthless for all but its caller. Needs the lock of the listings.
func (p *pull) spoil() {
	p.close()
	p.stale, p.touched = true, nil
}

// close lets nobody else wait for the flight. Needs the lock of the listings.
func (p *pull) close() {
	if p.flight != nil && p.dir.flights[p.from] == p.flight {
		delete(p.dir.flights, p.from)
	}
}

// next returns what follows position at of listing k: from the cache, or from somebody's pull that is just filling it.
// Otherwise the caller gets a pull of its own to run.
func (l *listings) next(ctx context.Context, k id, at string) (page, *pull, error) {
	for {
		pg, f, p := l.join(k, at)
		if p != nil {
			return page{}, p, nil
		}
		if f == nil {
			l.cache.stats.listHits.Add(1)
			return pg, nil, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return page{}, nil, fmt.Errorf("list %s: %w", k.name, ctx.Err())
		}
		if !f.void {
			l.cache.stats.listShared.Add(1)
			return f.page, nil, f.err
		}
	}
}

// join returns a page, or a flight to wait for, or a new pull.
func (l *listings) join(k id, at string) (page, *flight, *pull) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pg, ok := l.cached(k, at); ok {
		return pg, nil, nil
	}
	d := l.dirs[k]
	if d == nil {
		d = &dir{id: k, pulls: map[*pull]struct{}{}, flights: map[string]*flight{}}
		l.dirs[k] = d
	}
	if f := d.flights[at]; f != nil {
		return page{}, f, nil
	}
	p := &pull{dir: d, at: l.cache.now(), from: at}
	d.pulls[p] = struct{}{}
	l.open(p)
	return page{}, nil, p
}

// open begins a flight. Needs the lock.
func (l *listings) open(p *pull) {
	p.flight = &flight{done: make(chan struct{})}
	p.dir.flights[p.from] = p.flight
}

// publish ends the flight of a pull with rows that the store was asked for at some time, and keeps them.
func (l *listings) publish(p *pull, entries []backend.Entry, at time.Duration, final bool) {
	pg := page{rows: pack(entries), to: p.from, final: final}
	if len(entries) > 0 {
		pg.to = entries[len(entries)-1].Key
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cache.stats.listMisses.Add(1)
	p.at = at
	l.land(p, &flight{page: pg})
	from := p.from
	p.from = pg.to
	if !l.expired(p.at) {
		l.keep(p, from, pg)
	}
}

// land ends the flight of a pull, if it has one, with that outcome. Needs the lock.
func (l *listings) land(p *pull, outcome *flight) {
	if f := p.flight; f != nil {
		p.close()
		f.page, f.err, f.void = outcome.page, outcome.err, outcome.void
		close(f.done)
		p.flight = nil
	}
}

// resume lets a pull go on with its next chunk, unless somebody else has it already.
func (l *listings) resume(p *pull) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.cached(p.dir.id, p.from); ok || p.dir.flights[p.from] != nil {
		return false
	}
	// What the store's listing has in hand may be older than what newcomers may be told.
	if len(p.touched) == 0 && !p.stale && l.cache.now()-p.at < l.cache.cfg.ListTTL {
		l.open(p)
	}
	return true
}

// finish ends a pull. A flight that is still open fails with err, or has no outcome if err is nil.
func (l *listings) finish(p *pull, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.land(p, &flight{err: err, void: err == nil})
	delete(p.dir.pulls, p)
	l.tidy(p.dir)
}
