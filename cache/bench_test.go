package cache

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// full returns a store with n objects in d/, before which there is a cache that holds them all.
func full(b *testing.B, n int) (*Store, []string) {
	b.Helper()
	m, s := fixture(New(Config{Memory: 1 << 30, TTL: time.Hour, NegativeTTL: time.Hour, ListTTL: time.Hour}), mem.Config{})
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("d/file-%08d.bin", i)
	}
	put(b, m.Store, keys...)
	return s, keys
}

func BenchmarkStat(b *testing.B) {
	s, keys := full(b, 10000)
	hits := func(b *testing.B, want error) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := s.Stat(ctx, keys[i%len(keys)]); (err != nil) != (want != nil) {
					b.Error(err)
				}
			}
		})
	}
	b.Run("row", func(b *testing.B) {
		list(b, s, "d/")
		hits(b, nil)
	})
	b.Run("entry", func(b *testing.B) {
		s.cache.Purge()
		for _, key := range keys {
			must[backend.Object](b)(s.Stat(ctx, key))
		}
		hits(b, nil)
	})
	b.Run("absent", func(b *testing.B) {
		for i := range keys {
			keys[i] += "-none"
		}
		list(b, s, "d/")
		hits(b, backend.ErrNotExist)
	})
	b.Run("miss", func(b *testing.B) {
		s.cache.cfg.TTL, s.cache.cfg.NegativeTTL = -1, -1
		hits(b, backend.ErrNotExist)
	})
}

func BenchmarkList(b *testing.B) {
	const n = 100_000
	s, _ := full(b, n)
	walk := func(b *testing.B, from backend.Store) {
		b.ReportAllocs()
		for b.Loop() {
			rows := 0
			for _, err := range from.List(ctx, "d/", backend.ListOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
				rows++
			}
			if rows != n {
				b.Fatal(rows)
			}
		}
	}
	b.Run("store", func(b *testing.B) { walk(b, s.inner) })
	b.Run("cold", func(b *testing.B) {
		s.cache.cfg.ListTTL = -1
		walk(b, s)
		s.cache.cfg.ListTTL = time.Hour
	})
	b.Run("warm", func(b *testing.B) { walk(b, s) })
}

// BenchmarkPut is what the cache adds to an upload into a listed directory.
func BenchmarkPut(b *testing.B) {
	s, keys := full(b, 10000)
	list(b, s, "d/")
	list(b, s, "")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Put(ctx, keys[i%len(keys)], nil, backend.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory compares what the cache believes to hold with what the heap says.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	measure := func(b *testing.B, fill func(c *Cache)) {
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			c := New(Config{Memory: 1 << 30})
			fill(c)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/object")
			b.ReportMetric(float64(c.Stats().Bytes)/n, "booked-B/object")
		}
	}
	object := func(i int) backend.Object { // strings of its own, as from a driver
		return backend.Object{
			Key: fmt.Sprintf("customers/acme/incoming/file-%08d.bin", i), ETag: fmt.Sprintf("\"%032x\"", i), ContentType: string([]byte("application/octet-stream")),
		}
	}
	b.Run("objects", func(b *testing.B) {
		measure(b, func(c *Cache) {
			for i := range n {
				o := object(i)
				k := id{0, string([]byte(o.Key))}
				s := c.shard(k)
				s.mu.Lock()
				s.put(k, &entry{obj: o})
				s.mu.Unlock()
			}
		})
	})
	b.Run("rows", func(b *testing.B) {
		measure(b, func(c *Cache) {
			_, _, p := c.lists.join(id{0, ""}, "")
			var rows []backend.Entry
			for i := range n {
				if rows = append(rows, backend.Entry{Object: object(i)}); len(rows) == chunkRows {
					c.lists.publish(p, rows, 0, false)
					rows = nil
				}
			}
		})
	})
}
