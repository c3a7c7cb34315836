package cache

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"sluice/backend"
)

// listings holds the chunks of all listings. One lock will do: it is taken once for a chunk, not for a row.
type listings struct {
	cache *Cache
	limit int64 // of bytes
	rows  int   // of a chunk

	mu    sync.Mutex
	dirs  map[id]*dir
	lru   *simplelru.LRU[*chunk, struct{}]
	bytes int64
}

func (l *listings) init(c *Cache, limit int64) {
	l.cache, l.limit, l.rows = c, limit, chunkRows
	l.dirs = map[id]*dir{}
	l.lru = lru(l.removed)
}

// removed is what the LRU calls when a chunk leaves it.
func (l *listings) removed(c *chunk, _ struct{}) {
	d := c.dir
	d.chunks = slices.DeleteFunc(d.chunks, func(x *chunk) bool { return x == c })
	d.bytes -= c.cost
	l.bytes -= c.cost
	l.tidy(d)
}

// tidy forgets a dir that holds nothing.
func (l *listings) tidy(d *dir) {
	if len(d.chunks) == 0 && len(d.pulls) == 0 && l.dirs[d.id] == d {
		delete(l.dirs, d.id)
	}
}

// find looks for k in the listings that would show it; known is doubt where they say nothing.
func (l *listings) find(k id) (obj backend.Object, known kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, cfg := l.cache.now(), &l.cache.cfg
	for name, row := range parents(k.name) {
		d := l.dirs[id{k.space, name}]
		if d == nil {
			continue
		}
		c := d.holding(row)
		if c == nil {
			continue
		}
		switch e, found := c.rows.find(row); {
		case !found && now-c.at < cfg.NegativeTTL:
			l.lru.Get(c)
			return backend.Object{}, absent
		case found && !e.Prefix && now-c.at < cfg.TTL:
			l.lru.Get(c)
			return e.Object, present
		}
	}
	return backend.Object{}, doubt
}

// cached returns what follows position at of listing k, if it is fresh. Needs the lock.
func (l *listings) cached(k id, at string) (page, bool) {
	now, ttl := l.cache.now(), l.cache.cfg.ListTTL
	if d := l.dirs[k]; d != nil {
		if c := d.behind(at); c != nil && now-c.at < ttl {
			l.lru.Get(c)
			return c.page, true
		}
	}
	for name, row := range parents(k.name) { // a listing further up may show that there is nothing
		d := l.dirs[id{k.space, name}]
		if name == k.name || d == nil {
			continue
		}
		if c := d.holding(row); c != nil && now-c.at < ttl {
			if _, found := c.rows.find(row); !found {
				return page{to: at, final: true}, true
			}
		}
	}
	return page{}, false
}

// keep makes a chunk of what p brought, unless it is known better or takes too much room. Needs the lock.
func (l *listings) keep(p *pull, from string, pg page) {
	d, at, ok := p.dir, p.at, !p.stale
	for row, ch := range p.touched {
		if ok && row > from && (pg.final || row <= pg.to) {
			var changed bool
			if pg.rows, changed, ok = ch.amend(pg.rows, row); changed {
				at = min(at, ch.at)
			}
		}
	}
	if !ok {
		l.cache.stats.discarded.Add(1)
		return
	}
	over := d.overlapping(from, pg)
	if slices.ContainsFunc(over, func(c *chunk) bool { return c.at > at }) {
		return
	}
	for _, c := range over {
		l.lru.Remove(c)
	}
	c := &chunk{dir: d, from: from, page: pg, at: at}
	c.cost = c.weigh()
	if d.bytes+c.cost > l.limit/2 {
		return
	}
	i, _ := slices.BinarySearchFunc(d.chunks, from, func(c *chunk, from string) int { return strings.Compare(c.from, from) })
	d.chunks = slices.Insert(d.chunks, i, c)
	d.bytes += c.cost
	l.bytes += c.cost
	l.lru.Add(c, struct{}{})
	l.shrink()
}

func (c *chunk) weigh() int64 {
	return chunkCost + int64(len(c.dir.id.name)) + c.rows.bytes()
}

func (l *listings) shrink() {
	for l.bytes > l.limit {
		l.lru.RemoveOldest()
		l.cache.stats.evictions.Add(1)
	}
}

// apply lets the listings know what has become of k, so that each shows it, or is asked for again.
func (l *listings) apply(k id, ch change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, row := range parents(k.name) {
		d := l.dirs[id{k.space, name}]
		if d != nil {
			l.patch(d, row, ch)
		}
		// What the next listing up sees of it:
		switch ch.kind {
		case set:
			ch.row = backend.Entry{Object: backend.Object{Key: name}, Prefix: true}
		case gone:
			if l.alive(d) {
				return
			}
			ch.kind = unknown
		case foreign:
			if name != k.name { // that was not the directory's own marker
				ch.kind = appears
			}
		}
	}
}

// patch makes a change in the chunk that it belongs to, and has the pulls that are on their way make it too. Needs the lock.
func (l *listings) patch(d *dir, row string, ch change) {
	for p := range d.pulls {
		p.touch(row, ch)
	}
	c := d.holding(row)
	if c == nil {
		return
	}
	rows, changed, ok := ch.amend(c.rows, row)
	switch {
	case !ok, rows.n > 2*l.rows, l.expired(c.at):
		l.lru.Remove(c)
		return
	case !changed:
		return
	}
	c.rows, c.at = rows, min(c.at, ch.at)
	old := c.cost
	c.cost = c.weigh()
	d.bytes += c.cost - old
	l.bytes += c.cost - old
	l.shrink()
}

// expired reports whether what was learned at that time is good for nothing any more.
func (l *listings) expired(at time.Duration) bool {
	return l.cache.now()-at >= max(l.cache.cfg.TTL, l.cache.cfg.ListTTL)
}

// alive reports whether something is known to be in d. Needs the lock.
func (l *listings) alive(d *dir) bool {
	now, ttl := l.cache.now(), l.cache.cfg.ListTTL
	return d != nil && slices.ContainsFunc(d.chunks, func(c *chunk) bool { return c.rows.n > 0 && now-c.at < ttl })
}

// confirm compares what the store has just said about k with the listing that shows it: one that differs is outdated.
func (l *listings) confirm(k id, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, row := range parents(k.name) {
		if d := l.dirs[id{k.space, name}]; d != nil {
			if c := d.holding(row); c != nil {
				known, found := c.rows.find(row)
				if found != (e.kind == present) || found && known.ETag != e.obj.ETag {
					l.lru.Remove(c)
				}
			}
		}
		return
	}
}

// forgetPrefix drops the listings below a prefix and those that show something of it.
func (l *listings) forgetPrefix(k id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.dirs {
		if d.id.space != k.space || !strings.HasPrefix(d.id.name, k.name) && !strings.HasPrefix(k.name, d.id.name) {
			continue
		}
		for p := range d.pulls {
			p.spoil()
		}
		for _, c := range slices.Clone(d.chunks) {
			l.lru.Remove(c)
		}
	}
}

func (l *listings) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}
