package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/storetest"
)

var ctx = context.Background()

// chunked returns a Cache whose chunks have n rows.
func chunked(n int, cfg Config) *Cache {
	c := New(cfg)
	c.lists.rows = n
	return c
}

func TestStore(t *testing.T) {
	partial, moves := mem.DefaultCaps(), mem.DefaultCaps()
	partial.ListMetadata, moves.Move = false, true
	for _, tt := range []struct {
		name  string
		cache *Cache
		mem   mem.Config
	}{
		{"defaults", New(Config{}), mem.Config{}},
		{"chunks of two", chunked(2, Config{}), mem.Config{Page: 3, Caps: &moves}},
		{"partial rows", chunked(3, Config{}), mem.Config{Page: 3, Caps: &partial}},
		{"little memory", chunked(2, Config{Memory: 64 << 10}), mem.Config{Page: 2}},
		{"no memory", New(Config{Memory: -1}), mem.Config{Page: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			storetest.Run(t, func(*testing.T) backend.Store {
				n++
				return tt.cache.Wrap(fmt.Sprint(n), mem.New(tt.mem))
			}, storetest.Options{Page: 3})
			settled(t, tt.cache)
		})
	}
}

// settled checks that nothing is left of what has ended, and that the books are right.
func settled(tb testing.TB, c *Cache) {
	tb.Helper()
	for _, err := range audit(c) {
		tb.Error(err)
	}
}

func audit(c *Cache) (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i := range c.shards {
		s := &c.shards[i]
		var bytes int64
		for _, e := range s.lru.Values() {
			bytes += e.cost
		}
		if len(s.fills) != 0 || len(s.writes) != 0 {
			fault("shard %d: %d fills, %d writes are left", i, len(s.fills), len(s.writes))
		}
		if bytes != s.bytes || s.bytes > max(0, s.limit) {
			fault("shard %d: %d bytes, booked %d, limit %d", i, bytes, s.bytes, s.limit)
		}
	}
	l := &c.lists
	var bytes int64
	n := 0
	for k, d := range l.dirs {
		if len(d.pulls) != 0 || len(d.flights) != 0 || len(d.chunks) == 0 {
			fault("%q: %d pulls, %d flights are left, %d chunks", k.name, len(d.pulls), len(d.flights), len(d.chunks))
		}
		var sum int64
		for i, ch := range d.chunks {
			sum += ch.weigh()
			if i > 0 && (d.chunks[i-1].final || d.chunks[i-1].to > ch.from) {
				fault("%q: chunk %d overlaps", k.name, i)
			}
			rows := slices.Collect(ch.rows.behind(""))
			if len(rows) != ch.rows.n {
				fault("%q: chunk %d has %d rows, booked %d", k.name, i, len(rows), ch.rows.n)
			}
			sorted := slices.IsSortedFunc(rows, func(a, b backend.Entry) int {
				if a.Key < b.Key {
					return -1
				}
				return 1
			})
			if !sorted || len(rows) > 0 && (rows[0].Key <= ch.from || !ch.final && rows[len(rows)-1].Key > ch.to) {
				fault("%q: chunk %d from %q to %q has rows %v", k.name, i, ch.from, ch.to, rows)
			}
		}
		if sum != d.bytes {
			fault("%q: %d bytes, booked %d", k.name, sum, d.bytes)
		}
		bytes, n = bytes+sum, n+len(d.chunks)
	}
	if bytes != l.bytes || l.bytes > max(0, l.limit) || n != l.lru.Len() {
		fault("listings: %d bytes, booked %d, limit %d; %d chunks, %d in the LRU", bytes, l.bytes, l.limit, n, l.lru.Len())
	}
	return faults
}

// must returns v, or ends the test.
func must[T any](tb testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// put stores an object whose bytes are its key.
func put(tb testing.TB, s backend.Store, keys ...string) {
	tb.Helper()
	for _, key := range keys {
		must[backend.Object](tb)(s.Put(ctx, key, []byte(key), backend.PutOptions{}))
	}
}

// list returns the keys of a listing.
func list(tb testing.TB, s backend.Store, prefix string) []string {
	tb.Helper()
	var keys []string
	for e, err := range s.List(ctx, prefix, backend.ListOptions{}) {
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func lists(tb testing.TB, s backend.Store, prefix string, want ...string) {
	tb.Helper()
	if got := list(tb, s, prefix); !slices.Equal(got, want) {
		tb.Errorf("list %q: %q, want %q", prefix, got, want)
	}
}

func missing(tb testing.TB, s backend.Store, keys ...string) {
	tb.Helper()
	for _, key := range keys {
		if o, err := s.Stat(ctx, key); !errors.Is(err, backend.ErrNotExist) {
			tb.Errorf("stat %q: %+v, %v, want ErrNotExist", key, o, err)
		}
	}
}

// requests tells how often a mem.Store was asked since it was last told.
type requests struct {
	*mem.Store
	last map[string]int
	tops int
}

func (r *requests) are(tb testing.TB, what string, want map[string]int) {
	tb.Helper()
	got := map[string]int{}
	for _, op := range []string{"stat", "list", "open", "put", "commit", "copy", "delete"} {
		n := r.Count(op)
		if n != r.last[op] {
			got[op] = n - r.last[op]
		}
		r.last[op] = n
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tb.Errorf("%s: requests %v, want %v", what, got, want)
	}
}

// fixture returns a store, the way to count its requests, and the store before which there is a cache.
func fixture(c *Cache, cfg mem.Config) (*requests, *Store) {
	m := mem.New(cfg)
	return &requests{Store: m, last: map[string]int{}}, c.Wrap("s", m)
}

type none = map[string]int

func TestRequests(t *testing.T) {
	m, s := fixture(New(Config{}), mem.Config{})
	put(t, m.Store, "in/old", "in/sub/x")
	m.are(t, "setup", none{"put": 2})

	lists(t, s, "in/", "in/old", "in/sub/")
	m.are(t, "a listing", none{"list": 1})
	missing(t, s, "in/new", "in/new/", "in/missing/deep/below")
	lists(t, s, "in/new/")
	lists(t, s, "in/", "in/old", "in/sub/")
	must[backend.Object](t)(s.Stat(ctx, "in/old"))
	m.are(t, "what the listing says", none{})

	put(t, s, "in/new")
	m.are(t, "a small upload", none{"put": 1})
	if o := must[backend.Object](t)(s.Stat(ctx, "in/new")); o.Size != 6 {
		t.Errorf("own upload has %d bytes", o.Size)
	}
	lists(t, s, "in/", "in/new", "in/old", "in/sub/")
	m.are(t, "Stat and List after it", none{})

	u := must[backend.Upload](t)(s.NewUpload(ctx, "in/parts", backend.PutOptions{}))
	if err := u.WritePart(ctx, 1, []byte("part")); err != nil {
		t.Fatal(err)
	}
	lists(t, s, "in/", "in/new", "in/old", "in/sub/")
	if _, err := s.Stat(ctx, "in/parts"); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("an upload that was not committed: %v", err)
	}
	u = must[backend.Upload](t)(s.ResumeUpload(ctx, "in/parts", u.ID(), backend.PutOptions{}))
	must[backend.Object](t)(u.Commit(ctx, 1))
	must[backend.Object](t)(s.Copy(ctx, "in/sub/copy", "in/parts", backend.CopyOptions{}))
	if err := s.Delete(ctx, "in/old", backend.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	missing(t, s, "in/old")
	must[backend.Object](t)(s.Stat(ctx, "in/parts"))
	must[backend.Object](t)(s.Stat(ctx, "in/sub/copy"))
	lists(t, s, "in/", "in/new", "in/parts", "in/sub/")
	m.are(t, "other mutations", none{"commit": 1, "copy": 1, "delete": 1})

	_, _, err := s.Open(ctx, "in/new", backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.are(t, "a read always asks the store", none{"open": 1})
}

func TestListThenStat(t *testing.T) {
	const n = 2500
	run := func(t *testing.T, caps backend.Caps) (*requests, *Store, []string) {
		m, s := fixture(New(Config{}), mem.Config{Caps: &caps})
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("d/%05d", i)
		}
		put(t, m.Store, keys...)
		m.are(t, "setup", none{"put": n})
		lists(t, s, "d/", keys...)
		m.are(t, "list", none{"list": 3})
		return m, s, keys
	}
	t.Run("whole rows", func(t *testing.T) {
		m, s, keys := run(t, mem.DefaultCaps())
		for _, key := range keys {
			if o := must[backend.Object](t)(s.Stat(ctx, key)); o.Partial || o.Key != key || o.ContentType == "" {
				t.Fatalf("%+v", o)
			}
		}
		m.are(t, "stat of each", none{})
	})
	t.Run("partial rows", func(t *testing.T) {
		caps := mem.DefaultCaps()
		caps.ListMetadata = false
		m, s, keys := run(t, caps)
		for _, key := range keys {
			if o := must[backend.Object](t)(s.Stat(backend.AllowPartial(ctx), key)); !o.Partial || o.Size != int64(len(key)) {
				t.Fatalf("%+v", o)
			}
		}
		missing(t, s, "d/none")
		m.are(t, "partial stat of each", none{})
		for range 2 {
			if o := must[backend.Object](t)(s.Stat(ctx, keys[7])); o.Partial || o.ContentType == "" {
				t.Fatalf("%+v", o)
			}
		}
		m.are(t, "a whole object is asked for once", none{"stat": 1})
		if o := must[backend.Object](t)(s.Stat(backend.AllowPartial(ctx), keys[7])); o.Partial {
			t.Error("a partial object although the whole one is known")
		}
	})
}

func TestStats(t *testing.T) {
	c := New(Config{})
	_, s := fixture(c, mem.Config{})
	put(t, s, "a", "d/x")
	must[backend.Object](t)(s.Stat(ctx, "a"))
	missing(t, s, "b", "b")
	lists(t, s, "", "a", "d/")
	lists(t, s, "", "a", "d/")
	c.Invalidate("s", "a")
	c.Invalidate("unknown", "a")
	got := c.Stats()
	if got.Bytes <= 0 || got.Bytes > 4096 {
		t.Errorf("%d bytes", got.Bytes)
	}
	got.Bytes = 0
	if want := (Stats{Hits: 1, Misses: 1, NegativeHits: 1, ListMisses: 1, ListHits: 1, Invalidations: 1, Limit: 64 << 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestChanged(t *testing.T) {
	var mu sync.Mutex
	var told []string
	c := New(Config{Changed: func(store, key string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, store+":"+key)
	}})
	_, s := fixture(c, mem.Config{})
	put(t, s, "a")
	must[backend.Object](t)(s.Copy(ctx, "b", "a", backend.CopyOptions{}))
	if err := s.Delete(ctx, "a", backend.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "b", nil, backend.PutOptions{If: backend.Condition{Absent: true}}); !errors.Is(err, backend.ErrChanged) {
		t.Fatal(err)
	}
	c.Invalidate("s", "b")
	if want := []string{"s:a", "s:b", "s:a", "s:b"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}
