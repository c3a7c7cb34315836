package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := fixture(New(Config{}), mem.Config{})
		put(t, m.Store, "a", "d/x")
		must[backend.Object](t)(s.Stat(ctx, "a"))
		missing(t, s, "b")
		lists(t, s, "d/", "d/x")
		m.are(t, "fill", none{"put": 2, "stat": 2, "list": 1})
		time.Sleep(5*time.Second - 1)
		must[backend.Object](t)(s.Stat(ctx, "a"))
		missing(t, s, "b", "d/y")
		lists(t, s, "d/", "d/x")
		m.are(t, "before 5 s", none{})
		time.Sleep(1)
		must[backend.Object](t)(s.Stat(ctx, "a"))
		must[backend.Object](t)(s.Stat(ctx, "d/x"))
		m.are(t, "objects are believed longer", none{})
		missing(t, s, "b", "d/y")
		lists(t, s, "d/", "d/x")
		m.are(t, "than absences and listings", none{"stat": 2, "list": 1})
		time.Sleep(25 * time.Second)
		must[backend.Object](t)(s.Stat(ctx, "a"))
		must[backend.Object](t)(s.Stat(ctx, "d/x"))
		m.are(t, "30 s later", none{"stat": 1})
		time.Sleep(5 * time.Second)
		must[backend.Object](t)(s.Stat(ctx, "d/x"))
		m.are(t, "30 s after the listing was read", none{"stat": 1})
	})
	t.Run("never", func(t *testing.T) {
		m, s := fixture(New(Config{TTL: -1, NegativeTTL: -1, ListTTL: -1}), mem.Config{})
		put(t, s, "a")
		for range 2 {
			must[backend.Object](t)(s.Stat(ctx, "a"))
			missing(t, s, "b")
			lists(t, s, "", "a")
		}
		m.are(t, "everything is asked", none{"put": 1, "stat": 4, "list": 2})
	})
}

// Only ErrNotExist says that an object is absent.
func TestErrorsNotKept(t *testing.T) {
	fail := error(nil)
	c := New(Config{})
	m, s := fixture(c, mem.Config{Fault: func(string, string) error { return fail }})
	put(t, m.Store, "k")
	for _, err := range []error{backend.ErrPermission, backend.ErrUnavailable, errOdd} {
		fail = err
		if _, got := s.Stat(ctx, "k"); !errors.Is(got, err) {
			t.Errorf("stat: %v, want %v", got, err)
		}
		for _, got := range s.List(ctx, "", backend.ListOptions{}) {
			if !errors.Is(got, err) {
				t.Errorf("list: %v, want %v", got, err)
			}
		}
		fail = nil
		must[backend.Object](t)(s.Stat(ctx, "k"))
		lists(t, s, "", "k")
		c.Purge()
	}
	settled(t, c)
}

// A listing that breaks yields what it has, then the error, and keeps the chunks that were whole.
func TestListBreaks(t *testing.T) {
	pages := 0
	c := rows(2, Config{})
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

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		c := rows(10, Config{})
		m, s := fixture(c, mem.Config{Page: 10, Delay: func(string, string) time.Duration {
			if hang.Load() {
				return time.Hour // or until the context ends
			}
			return time.Millisecond
		}})
		var want []string
		for i := range 25 {
			want = append(want, fmt.Sprintf("k%02d", i))
		}
		put(t, m.Store, want...)
		hang.Store(true)
		first, cancel := context.WithCancel(ctx)
		go func() { // the one whose request it is goes away
			if _, err := s.Stat(first, "k00"); !errors.Is(err, context.Canceled) {
				t.Errorf("stat: %v", err)
			}
		}()
		go func() {
			for _, err := range s.List(first, "", backend.ListOptions{}) {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("list: %v", err)
				}
			}
		}()
		synctest.Wait()
		hang.Store(false)
		for range 20 {
			go func() { must[backend.Object](t)(s.Stat(ctx, "k00")) }()
			go lists(t, s, "", want...)
		}
		impatient, give := context.WithTimeout(ctx, time.Second)
		defer give()
		go func() {
			if _, err := s.Stat(impatient, "k00"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("stat: %v", err)
			}
		}()
		go func() {
			for _, err := range s.List(impatient, "", backend.ListOptions{}) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("list: %v", err)
				}
			}
		}()
		synctest.Wait()
		m.are(t, "all of them", none{"put": 25, "stat": 1, "list": 1})
		time.Sleep(2 * time.Second)
		cancel()
		time.Sleep(time.Second)
		m.are(t, "and again, since the first one has gone", none{"stat": 1, "list": 3})
		if st := c.Stats(); st.Shared < 19 {
			t.Errorf("%+v", st)
		}
		settled(t, c)
	})
}

// One who consumes slowly holds up nobody, and gets on with what others have read meanwhile.
func TestSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rows(10, Config{})
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
	c := rows(10, Config{Memory: 256 << 10}) // 32 KiB for one listing
	m, s := fixture(c, mem.Config{Page: 10})
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("k%03d", i))
	}
	put(t, m.Store, want...)
	m.are(t, "setup", none{"put": 1000})
	lists(t, s, "", want...)
	m.are(t, "first time", none{"list": 100})
	if b := c.Stats().Bytes; b > 32<<10 || b < 30<<10 {
		t.Errorf("%d bytes", b)
	}
	if c.Stats().Evictions != 0 {
		t.Error("it drove out itself or others")
	}
	lists(t, s, "", want...)
	cached := int(c.Stats().ListHits)
	if cached < 5 || cached > 20 {
		t.Errorf("%d chunks came from the cache", cached)
	}
	m.are(t, "second time", none{"list": 100 - (cached - 1)}) // the end is a chunk without rows
	n := 0
	for range s.List(ctx, "", backend.ListOptions{Limit: 3}) {
		if n++; n == 3 {
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
	for e := range r.Store.List(ctx, prefix, backend.ListOptions{}) {
		keys = append(keys, e.Key)
	}
	r.tops++
	return keys
}

// What a Stat finds out about a foreign change is not contradicted by an older listing later.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		m, s := fixture(c, mem.Config{})
		put(t, m.Store, "k")
		lists(t, s, "", "k")
		time.Sleep(2 * time.Second)
		drop(t, m.Store, "k")
		c.shard(id{0, "k"}).forget(id{0, "k"})
		if _, _, err := s.Open(ctx, "k", backend.OpenOptions{}); !errors.Is(err, backend.ErrNotExist) {
			t.Fatal(err)
		}
		lists(t, s, "")
		put(t, m.Store, "k")
		time.Sleep(6 * time.Second) // absences have expired, listings too, rows have not
		lists(t, s, "", "k")
		put(t, m.Store, "k") // another version, which a Stat that goes to the store sees
		k := id{0, "k"}
		c.lists.confirm(k, &entry{kind: present, obj: must[backend.Object](t)(m.Stat(ctx, "k"))})
		if _, known := c.lists.find(k); known != doubt {
			t.Error("the outdated listing is still there")
		}
	})
}

func TestMany(t *testing.T) {
	c := rows(5, Config{Memory: 128 << 10})
	m, s := fixture(c, mem.Config{Page: 7})
	other := c.Wrap("other", mem.New(mem.Config{}))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 150 {
				mine := fmt.Sprintf("d%d/own-%d-%d", i%3, g, i)
				switch (g + i) % 8 {
				case 0, 1:
					put(t, s, mine)
					must[backend.Object](t)(s.Stat(ctx, mine))
					if !slices.Contains(list(t, s, mine[:3]), mine) {
						t.Errorf("%q is not in the listing", mine)
					}
				case 2:
					put(t, s, mine)
					drop(t, s, mine)
					missing(t, s, mine)
					if slices.Contains(list(t, s, mine[:3]), mine) {
						t.Errorf("%q is still in the listing", mine)
					}
				case 3:
					put(t, m.Store, "d1/foreign")
					c.Invalidate("s", "d1/foreign")
					must[backend.Object](t)(s.Stat(ctx, "d1/foreign"))
				case 4:
					c.InvalidatePrefix("s", "d2/")
				case 5:
					put(t, s, "d0/all")
					list(t, s, "")
				case 6:
					missing(t, other, mine)
					c.Stats()
				case 7:
					_, _, _ = s.Open(ctx, "d0/all", backend.OpenOptions{})
				}
			}
		})
	}
	wg.Wait()
	settled(t, c)
}
