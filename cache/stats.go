package cache

import "sync/atomic"

// Stats are counts since the Cache was made, but for Bytes, which is now, and Limit.
type Stats struct {
	Hits         int64 // Stats answered from the cache with an object
	NegativeHits int64 // Stats answered from the cache with ErrNotExist
	Misses       int64 // Stats that asked the store
	ListHits     int64 // chunks of listings served from the cache, 1000 rows or fewer each
	ListMisses   int64 // chunks of listings that came from the store
	Shared       int64 // Stats that waited for another caller's request instead of making one
	ListShared   int64 // chunks that did

	Discarded     int64 // answers of the store that were not kept since a mutation had overtaken them
	Evictions     int64 // objects and chunks that had to make room
	Invalidations int64 // calls of Invalidate, InvalidatePrefix and Purge

	Bytes int64 // memory held, as estimated
	Limit int64 // most of it, see Config.Memory
}

type counters struct {
	hits, negativeHits, misses, listHits, listMisses, shared, listShared, discarded, evictions, invalidations atomic.Int64
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	s := Stats{
		Hits:          c.stats.hits.Load(),
		NegativeHits:  c.stats.negativeHits.Load(),
		Misses:        c.stats.misses.Load(),
		ListHits:      c.stats.listHits.Load(),
		ListMisses:    c.stats.listMisses.Load(),
		Shared:        c.stats.shared.Load(),
		ListShared:    c.stats.listShared.Load(),
		Discarded:     c.stats.discarded.Load(),
		Evictions:     c.stats.evictions.Load(),
		Invalidations: c.stats.invalidations.Load(),
		Bytes:         c.lists.size(),
		Limit:         max(0, c.cfg.Memory),
	}
	for i := range c.shards {
		s.Bytes += c.shards[i].size()
	}
	return s
}
