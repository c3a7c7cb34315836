package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// A listing that breaks yields what it has, then the error, and keeps the chunks that were whole.
func TestListBreaks(t *testing.T) {
	pages := 0
	c := chunked(2, Config{})
	m, s := fixture(c, mem.Config{Page: 3, Fault: func(op, _ string) error {
		if op == "list" {
			if pages++; pages == 2 {
				return errOdd
			}
		}
		return nil
	}})
	put(t, m.Store, "1", "2", "3", "4", "5", "6", "7")
	var got []string
	var last error
	for e, err := range s.List(ctx, "", backend.ListOptions{}) {
		if last = err; err == nil {
			got = append(got, e.Key)
		}
	}
	if !slices.Equal(got, []string{"1", "2", "3"}) || !errors.Is(last, errOdd) {
		t.Errorf("%q, %v", got, last)
	}
	m.are(t, "broken", none{"put": 7, "list": 2})
	lists(t, s, "", "1", "2", "3", "4", "5", "6", "7")
	m.are(t, "the rest", none{"list": 2})
	settled(t, c)
}

// One who consumes slowly holds up nobody, and gets on with what others have read meanwhile.
func TestSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chunked(10, Config{})
		m, s := fixture(c, mem.Config{Page: 10})
		var want []string
		for i := range 45 {
			want = append(want, fmt.Sprintf("k%02d", i))
		}
		put(t, m.Store, want...)
		m.are(t, "setup", none{"put": 45})
		var wg sync.WaitGroup
		wg.Go(func() {
			n := 0
			for _, err := range s.List(ctx, "", backend.ListOptions{}) {
				if err != nil {
					t.Error(err)
				}
				n++
				time.Sleep(50 * time.Millisecond)
			}
			if n != 45 {
				t.Errorf("%d rows", n)
			}
		})
		time.Sleep(time.Millisecond)
		start := time.Now()
		lists(t, s, "", want...)
		if d := time.Since(start); d != 0 {
			t.Errorf("held up for %v", d)
		}
		wg.Wait()
		m.are(t, "both", none{"list": 5})
		settled(t, c)
	})
}

// A listing longer than its share of memory is cached up to there, and streams from then on.
func TestLongListing(t *testing.T) {
	c := chunked(10, Config{Memory: 256 << 10}) // 64 KiB for one listing
	m, s := fixture(c, mem.Config{Page: 10})
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("k%03d", i))
	}
	put(t, m.Store, want...)
	m.are(t, "setup", none{"put": 1000})
	lists(t, s, "", want...)
	m.are(t, "first time", none{"list": 100})
	if b := c.Stats().Bytes; b > 64<<10 || b < 60<<10 {
		t.Errorf("%d bytes", b)
	}
	if c.Stats().Evictions != 0 {
		t.Error("it drove out itself or others")
	}
	cached := 0
	for _, ch := range c.lists.dirs[id{s.space, ""}].chunks {
		if ch.rows.n > 0 { // the end is a chunk without rows
			cached++
		}
	}
	if cached < 50 || cached > 90 {
		t.Errorf("%d chunks are in the cache", cached)
	}
	lists(t, s, "", want...)
	m.are(t, "second time", none{"list": 100 - cached})
	n := 0
	for _, err := range s.List(ctx, "", backend.ListOptions{Limit: 3}) {
		if n++; err != nil || n == 3 {
			break
		}
	}
	m.are(t, "its head", none{})
	settled(t, c)
}

// What directories show of what happened below them.
func TestParents(t *testing.T) {
	m, s := fixture(New(Config{}), mem.Config{})
	put(t, m.Store, "a/b/x", "a/b/y", "z")
	m.are(t, "setup", none{"put": 3})
	all := func(root, a, b []string) {
		t.Helper()
		lists(t, s, "", root...)
		lists(t, s, "a/", a...)
		lists(t, s, "a/b/", b...)
	}
	remove := func(key string) {
		t.Helper()
		if err := s.Delete(ctx, key, backend.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all([]string{"a/", "z"}, []string{"a/b/"}, []string{"a/b/x", "a/b/y"})
	m.are(t, "fill", none{"list": 3})
	remove("a/b/x")
	all([]string{"a/", "z"}, []string{"a/b/"}, []string{"a/b/y"})
	m.are(t, "a directory that lives on is not read again", none{"delete": 1})
	remove("a/b/y")
	all([]string{"z"}, nil, nil)
	missing(t, s, "a/b/y", "a/b/", "a/")
	m.are(t, "those above one that is empty now are, as far as needed", none{"delete": 1, "list": 1})
	put(t, s, "a/b/c/d")
	all([]string{"a/", "z"}, []string{"a/b/"}, []string{"a/b/c/"})
	m.are(t, "new directories", none{"put": 1, "list": 1})
	put(t, s, "m/")
	lists(t, s, "m/", "m/")
	lists(t, s, "", "a/", "m/", "z")
	remove("m/")
	lists(t, s, "m/")
	lists(t, s, "", "a/", "z")
}

func TestInvalidate(t *testing.T) {
	c := New(Config{})
	m, s := fixture(c, mem.Config{})
	put(t, m.Store, "d/a", "d/sub/x", "e/y")
	see := func() {
		lists(t, s, "", m.top("")...)
		lists(t, s, "d/", m.top("d/")...)
		lists(t, s, "d/sub/", m.top("d/sub/")...)
		lists(t, s, "e/", m.top("e/")...)
	}
	see()
	count := func() int { return m.Count("list") - m.tops }
	for _, tt := range []struct {
		what string
		do   func()
		cost int
	}{
		{"a new object", func() { put(t, m.Store, "d/b"); c.Invalidate("s", "d/b") }, 1},
		{"a deleted one", func() { drop(t, m.Store, "d/a"); c.Invalidate("s", "d/a") }, 1},
		{"a new directory", func() { put(t, m.Store, "n/"); c.Invalidate("s", "n/") }, 1},
		{"a deleted one", func() { drop(t, m.Store, "n/"); c.Invalidate("s", "n/") }, 1},
		{"an object in a new directory", func() { put(t, m.Store, "o/x"); c.Invalidate("s", "o/x") }, 1},
		{"a tree", func() {
			drop(t, m.Store, "d/sub/x")
			put(t, m.Store, "d/sub2/x")
			c.InvalidatePrefix("s", "d/sub")
		}, 2}, // the root and d/, which shows that d/sub/ is empty
		{"another tree", func() { put(t, m.Store, "e/z"); c.InvalidatePrefix("s", "e/") }, 2},
		{"everything", func() { drop(t, m.Store, "e/y"); c.Purge() }, 3},
	} {
		before := count()
		tt.do()
		see()
		if n := count() - before; n != tt.cost {
			t.Errorf("%s: %d listings were read, want %d", tt.what, n, tt.cost)
		}
	}
	settled(t, c)
}

func drop(tb testing.TB, s backend.Store, key string) {
	tb.Helper()
	if err := s.Delete(ctx, key, backend.DeleteOptions{}); err != nil {
		tb.Fatal(err)
	}
}

// top lists the store itself, and counts that it did.
func (r *requests) top(prefix string) []string {
	var keys []string
	for e, err := range r.List(ctx, prefix, backend.ListOptions{}) {
		if err != nil {
			break
		}
		keys = append(keys, e.Key)
	}
	r.tops++
	return keys
}

// readsAhead is a store of pages of two rows that asks for the second page four seconds behind the first, and before it hands that on.
type readsAhead struct {
	*mem.Store
	lists int
}

func (s *readsAhead) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		s.lists++
		first := opts.Ask()
		time.Sleep(4 * time.Second)
		second := opts.Ask()
		first()
		n := 0
		for e, err := range s.Store.List(ctx, prefix, backend.ListOptions{After: opts.After}) {
			if n++; n == 3 {
				second()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestAgeOfPages: a chunk is as old as the request for its page, whatever was asked for before its rows came.
func TestAgeOfPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := &readsAhead{Store: mem.New(mem.Config{})}
		s := chunked(2, Config{ListTTL: 5 * time.Second}).Wrap("s", ahead)
		put(t, ahead.Store, "d/1", "d/2", "d/3", "d/4")
		for _, step := range []struct {
			wait  time.Duration
			lists int
		}{{0, 1}, {500 * time.Millisecond, 1}, {time.Second, 2}} { // after 4 s, 4.5 s and 5.5 s
			time.Sleep(step.wait)
			lists(t, s, "d/", "d/1", "d/2", "d/3", "d/4")
			if ahead.lists != step.lists {
				t.Errorf("%v later the store was asked %d times, want %d", step.wait, ahead.lists, step.lists)
			}
		}
	})
}
