package cache

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"sluice/backend"
)

type kind uint8

const (
	present kind = iota
	absent
	doubt // a mutation failed and may still take effect: nothing is kept about this key until the entry has expired
)

// entry is what is known about one key. It does not change once it is in a shard.
type entry struct {
	obj  backend.Object
	kind kind
	at   time.Duration // when the store was asked
	cost int64
}

// fill is a Stat that is on its way to the store, and those who wait for it.
type fill struct {
	done chan struct{}

	// The outcome, set before done is closed. void means that there is none, the one who asked having gone away.
	obj  backend.Object
	err  error
	void bool

	stale bool // a mutation has overtaken it; guarded by the shard's mutex
}

// write is a key's mutations that are on their way. Where they overlap, nobody knows which of them the store saw last.
type write struct {
	active int
	clash  bool
}

// shard holds the entries of some keys and what is going on with them.
type shard struct {
	cache *Cache
	limit int64 // of bytes

	mu     sync.Mutex
	lru    *simplelru.LRU[id, *entry]
	bytes  int64
	fills  map[id]*fill
	writes map[id]*write
}

func (s *shard) init(c *Cache, limit int64) {
	s.cache, s.limit = c, limit
	s.fills, s.writes = map[id]*fill{}, map[id]*write{}
	s.lru = lru[id](func(_ id, e *entry) { s.bytes -= e.cost })
}

// lru returns an LRU without a bound on the number of its entries; gone hears of each that leaves it, but not of one that
// Add replaces.
func lru[K comparable, V any](gone func(K, V)) *simplelru.LRU[K, V] {
	l, err := simplelru.NewLRU(math.MaxInt, gone)
	if err != nil {
		panic(err) // it refuses a size below 1 alone
	}
	return l
}

// look returns what is known about k, nil if nothing is.
func (s *shard) look(k id) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(k)
}

// join returns the entry of k if there is one by now, the fill that is under way, or else a new one, which the caller leads
// and must settle.
func (s *shard) join(k id) (e *entry, f *fill, lead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.get(k); e != nil && e.kind != doubt {
		return e, nil, false
	}
	if f := s.fills[k]; f != nil {
		return nil, f, false
	}
	f = &fill{done: make(chan struct{})}
	s.fills[k] = f
	return nil, f, true
}

// settle ends a fill whose outcome is set; e is what to keep of it, if anything. It reports whether the fill was in time.
func (s *shard) settle(k id, f *fill, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fills[k] == f {
		delete(s.fills, k)
	}
	close(f.done)
	if e == nil {
		return false
	}
	if f.stale {
		s.cache.stats.discarded.Add(1)
		return false
	}
	s.put(k, e)
	return true
}

// begin announces a mutation of k. The old entry goes, though nobody could blame it: who sees the new state by other
// means should not find the old one here afterwards.
func (s *shard) begin(k id) *write {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.writes[k]
	if w == nil {
		w = &write{}
		s.writes[k] = w
	}
	w.active++
	w.clash = w.clash || w.active > 1
	s.drop(k)
	return w
}

// end makes e what is known after a mutation (nil: nothing) and reports whether it clashed with another: then e is not
// kept, unless it is a doubt.
func (s *shard) end(k id, w *write, e *entry) (clash bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.active--; w.active == 0 {
		delete(s.writes, k)
	}
	s.drop(k)
	if e != nil && (!w.clash || e.kind == doubt) {
		s.put(k, e)
	}
	return w.clash
}

func (s *shard) forget(k id) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.writes[k]; w != nil {
		w.clash = true
	}
	s.drop(k)
}

func (s *shard) forgetPrefix(p id) {
	s.mu.Lock()
	defer s.mu.Unlock()
	under := func(k id) bool { return k.space == p.space && strings.HasPrefix(k.name, p.name) }
	for k, w := range s.writes {
		if under(k) {
			w.clash = true
		}
	}
	for k := range s.fills {
		if under(k) {
			s.drop(k)
		}
	}
	for _, k := range s.lru.Keys() {
		if under(k) {
			s.drop(k)
		}
	}
}

func (s *shard) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// The rest needs the lock.

func (s *shard) get(k id) *entry {
	e, ok := s.lru.Get(k)
	if !ok || !s.cache.fresh(e) {
		return nil
	}
	return e
}

// put keeps e, unless k is in doubt, and makes room.
func (s *shard) put(k id, e *entry) {
	old, ok := s.lru.Peek(k)
	if ok && old.kind == doubt && e.kind != doubt && s.cache.fresh(old) {
		return
	}
	if ok {
		s.lru.Remove(k)
	}
	e.cost = cost(&e.obj) + int64(len(k.name)) + entryCost
	if e.cost > s.limit {
		return
	}
	s.lru.Add(k, e)
	s.bytes += e.cost
	for s.bytes > s.limit {
		s.lru.RemoveOldest()
		s.cache.stats.evictions.Add(1)
	}
}

// drop removes the entry of k, but not a doubt, and lets no one join the fill that is on its way.
func (s *shard) drop(k id) {
	if f := s.fills[k]; f != nil {
		f.stale = true
		delete(s.fills, k)
	}
	if e, ok := s.lru.Peek(k); ok && (e.kind != doubt || !s.cache.fresh(e)) {
		s.lru.Remove(k)
	}
}

// fresh reports whether an entry can be believed now.
func (c *Cache) fresh(e *entry) bool {
	ttl := c.cfg.TTL
	switch e.kind {
	case absent:
		ttl = c.cfg.NegativeTTL
	case doubt:
		ttl = max(c.cfg.TTL, c.cfg.NegativeTTL)
	}
	return c.now()-e.at < ttl
}
