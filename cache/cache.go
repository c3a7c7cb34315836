// Package cache keeps what is known about the objects of a Store: a decorator of backend.Store for metadata, absences and
// listings, never for bytes. It stands below backend/vfs and above the driver; cmd makes one Cache and wraps every store
// with it, so that all of them share one bound on memory. It knows nothing of paths, users or FTP: what two callers of
// one wrapped store may see is the same, so stores that are opened with different credentials are wrapped under different
// names.
//
// What it promises:
//
//   - Read your writes. What a mutation that went through this Cache did is seen by every Stat and List that begins after
//     the mutation has returned. An answer that was on its way meanwhile is handed to those who asked before, and is not
//     kept. After an error, or after two mutations of one key at once, nothing is kept. While the outcome of a mutation
//     is in doubt (it may still take effect), every Stat of its key goes to the store.
//   - Bounded staleness. What others do to the store is seen after Config.TTL at the latest (a new object after
//     NegativeTTL, a listing after ListTTL), counted from the moment the store was asked. Invalidate makes it seen at once.
//   - Never wrong bytes. No read is served from here: Open always asks the store, and a version that turned out to be
//     stale (ErrChanged) is forgotten, so that a stale entry costs its caller one retry.
//   - Bounded memory. See Config.Memory.
//
// Stat is answered from the object's own entry, or else from a row of a cached listing: a fresh listing of any
// directory above a key also proves that the key is absent. A row that is Partial answers only those who say so by
// backend.AllowPartial. Errors other than ErrNotExist are never kept.
//
// Listings are cached for prefixes that are empty or end in "/", not Recursive ones; so ask whether anything lies below
// a directory by a plain List with a Limit.
package cache

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"sluice/backend"
)

// Config bounds a Cache. The zero value is ready to use.
type Config struct {
	// Memory bounds what is kept for all stores together, in bytes: 0 is 64 MiB, less than 0 keeps nothing. Half of it is
	// for objects, half for listings. One listing takes at most half of its half, some 250,000 rows by default: what
	// is behind that streams from the store each time.
	Memory int64
	TTL    time.Duration // how long an object that exists is believed to be unchanged; 0: 30 s, less than 0: never
	// NegativeTTL is how long an absent object is believed to stay so; 0: 5 s, less than 0: never.
	NegativeTTL time.Duration
	ListTTL     time.Duration // how long a listing is served; 0: 5 s, less than 0: never

	// Changed, if set, is told of every mutation that was tried through a wrapped store, before its caller hears the
	// outcome. The other replicas' caches need it: pass it to their Invalidate. It must be quick and may run concurrently.
	Changed func(store, key string)
}

// shards is how many locks the object entries are spread over: far more than there are cores to contend.
const shards = 32

// Cache is the memory that wrapped stores share. Its methods may be called concurrently. It has no goroutines and needs
// no closing.
type Cache struct {
	cfg    Config
	start  time.Time // ages are durations since then: half the size of a time.Time, and monotonic
	seed   maphash.Seed
	shards [shards]shard
	lists  listings
	stats  counters

	mu     sync.RWMutex
	spaces map[string]uint32 // of store names
}

// id names a key, or the prefix of a listing, in one of the stores.
type id struct {
	space uint32
	name  string
}

// New returns an empty Cache.
func New(cfg Config) *Cache {
	cfg.Memory = or(cfg.Memory, 64<<20)
	cfg.TTL = or(cfg.TTL, 30*time.Second)
	cfg.NegativeTTL = or(cfg.NegativeTTL, 5*time.Second)
	cfg.ListTTL = or(cfg.ListTTL, 5*time.Second)
	c := &Cache{cfg: cfg, start: time.Now(), seed: maphash.MakeSeed(), spaces: map[string]uint32{}}
	for i := range c.shards {
		c.shards[i].init(c, cfg.Memory/2/shards)
	}
	c.lists.init(c, cfg.Memory/2)
	return c
}

func or[T int64 | time.Duration](v, zero T) T {
	if v == 0 {
		return zero
	}
	return v
}

// Wrap returns store with this cache before it. Stores that are wrapped under one name share what is known, so they must be
// one bucket, seen with the same credentials.
func (c *Cache) Wrap(name string, store backend.Store) *Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	space, ok := c.spaces[name]
	if !ok {
		if len(c.spaces) == math.MaxUint32 {
			panic("cache: too many stores")
		}
		space = uint32(len(c.spaces))
		c.spaces[name] = space
	}
	return &Store{cache: c, name: name, space: space, inner: store}
}

// Invalidate forgets what is known about one key of the store of that name, since somebody else has changed it. A name that
// was never wrapped is ignored.
func (c *Cache) Invalidate(store, key string) {
	if space, ok := c.space(store); ok {
		c.stats.invalidations.Add(1)
		c.forget(id{space, key})
	}
}

// InvalidatePrefix forgets what is known about all keys that start with prefix.
func (c *Cache) InvalidatePrefix(store, prefix string) {
	if space, ok := c.space(store); ok {
		c.stats.invalidations.Add(1)
		c.forgetPrefix(id{space, prefix})
	}
}

// Purge forgets everything: what to do when invalidations may have been lost.
func (c *Cache) Purge() {
	c.stats.invalidations.Add(1)
	c.mu.RLock()
	n := uint32(len(c.spaces))
	c.mu.RUnlock()
	for space := range n {
		c.forgetPrefix(id{space, ""})
	}
}

// forget makes the next question about k go to the store, and the answers that are on their way expire on arrival.
func (c *Cache) forget(k id) {
	c.shard(k).forget(k)
	c.lists.apply(k, change{kind: foreign})
}

// forgetPrefix does so for a tree. It walks over everything that is cached, once: that is rarer by far than the lookups
// which epochs of prefixes would slow down.
func (c *Cache) forgetPrefix(k id) {
	for i := range c.shards {
		c.shards[i].forgetPrefix(k)
	}
	c.lists.forgetPrefix(k)
}

func (c *Cache) space(store string) (uint32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	space, ok := c.spaces[store]
	return space, ok
}

func (c *Cache) shard(k id) *shard {
	return &c.shards[(maphash.String(c.seed, k.name)+uint64(k.space))%shards]
}

func (c *Cache) now() time.Duration { return time.Since(c.start) }
