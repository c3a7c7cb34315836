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
		time.Sleep(time.Nanosecond)
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

// Checksums are asked for where they are kept, and what that shows is believed.
func TestChecksums(t *testing.T) {
	c := New(Config{})
	m, s := fixture(c, mem.Config{})
	put(t, s, "k")
	old := must[backend.Object](t)(s.Stat(ctx, "k"))
	m.are(t, "a put is known", none{"put": 1})
	wants := backend.WithChecksums(ctx)
	if obj := must[backend.Object](t)(s.Stat(wants, "k")); len(obj.Checksums["MD5"]) == 0 || obj.ETag != old.ETag {
		t.Errorf("%+v", obj)
	}
	m.are(t, "but not its checksums", none{"stat": 1})
	put(t, m.Store, "k", "l")
	if obj := must[backend.Object](t)(s.Stat(wants, "k")); obj.ETag == old.ETag {
		t.Errorf("%+v", obj)
	}
	if obj := must[backend.Object](t)(s.Stat(ctx, "k")); obj.ETag == old.ETag {
		t.Error("the old version is still believed")
	}
	if err := m.Delete(ctx, "k", backend.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(wants, "k"); !errors.Is(err, backend.ErrNotExist) {
		t.Error(err)
	}
	missing(t, s, "k")
	settled(t, c)
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

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		c := chunked(10, Config{})
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
	c := chunked(5, Config{Memory: 128 << 10})
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
