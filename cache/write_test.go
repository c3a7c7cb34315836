package cache

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// A Stat that has its answer before a mutation, and delivers it behind, must not bring the old state back.
func TestSlowStat(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mutate func(*Cache, *mem.Store, *Store) error
		kept   bool // whether the cache knows the outcome without asking
	}{
		{"put", func(_ *Cache, _ *mem.Store, s *Store) error {
			_, err := s.Put(ctx, "k", []byte("new"), backend.PutOptions{})
			return err
		}, true},
		{"delete", func(_ *Cache, _ *mem.Store, s *Store) error { return s.Delete(ctx, "k", backend.DeleteOptions{}) }, true},
		{"copy", func(_ *Cache, _ *mem.Store, s *Store) error {
			_, err := s.Copy(ctx, "k", "other", backend.CopyOptions{})
			return err
		}, true},
		{"commit", func(_ *Cache, _ *mem.Store, s *Store) error {
			u, err := s.NewUpload(ctx, "k", backend.PutOptions{})
			if err == nil {
				err = u.WritePart(ctx, 1, []byte("new"))
			}
			if err == nil {
				_, err = u.Commit(ctx, 1)
			}
			return err
		}, true},
		{"invalidate", func(c *Cache, m *mem.Store, _ *Store) error {
			_, err := m.Put(ctx, "k", []byte("new"), backend.PutOptions{})
			c.Invalidate("s", "k")
			return err
		}, false},
		{"invalidate prefix", func(c *Cache, m *mem.Store, _ *Store) error {
			_, err := m.Put(ctx, "k", []byte("new"), backend.PutOptions{})
			c.InvalidatePrefix("s", "")
			return err
		}, false},
		{"purge", func(c *Cache, m *mem.Store, _ *Store) error {
			_, err := m.Put(ctx, "k", []byte("new"), backend.PutOptions{})
			c.Purge()
			return err
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var answers gate
				c := New(Config{})
				m, s := fixture(c, mem.Config{Lost: answers.pass})
				put(t, m.Store, "k", "other")
				open := answers.close("stat", "k")
				go func() {
					if o := must[backend.Object](t)(s.Stat(ctx, "k")); o.Size != 1 {
						t.Errorf("the old object had 1 byte, not %d", o.Size)
					}
				}()
				synctest.Wait()
				if err := tt.mutate(c, m.Store, s); err != nil {
					t.Fatal(err)
				}
				before := m.Count("stat")
				want, wantErr := m.Stat(ctx, "k")
				check := func(when string) {
					t.Helper()
					o, err := s.Stat(ctx, "k")
					if o.ETag != want.ETag || errors.Is(err, backend.ErrNotExist) != (wantErr != nil) {
						t.Errorf("%s: %+v, %v", when, o, err)
					}
				}
				check("while the old answer is on its way")
				open()
				synctest.Wait()
				check("behind it")
				if asked := m.Count("stat") - before - 1; (asked == 0) != tt.kept {
					t.Errorf("%d requests", asked)
				}
				if tt.kept && c.Stats().Discarded != 1 {
					t.Errorf("%+v", c.Stats())
				}
				settled(t, c)
			})
		})
	}
}

// While a mutation is on its way, nobody finds the old state here who could see the new one elsewhere.
func TestUnacknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers gate
		m, s := fixture(New(Config{}), mem.Config{Lost: answers.pass})
		put(t, s, "k")
		open := answers.close("put", "k")
		defer open()
		go put(t, s, "k")
		synctest.Wait()
		now := must[backend.Object](t)(m.Stat(ctx, "k"))
		if o := must[backend.Object](t)(s.Stat(ctx, "k")); o.ETag != now.ETag {
			t.Errorf("the cache still has %+v", o)
		}
	})
}

// The answer to a slow mutation is as old as its question: somebody else may have been there in between.
func TestSlowPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers gate
		m, s := fixture(New(Config{}), mem.Config{Lost: answers.pass})
		open := answers.close("put", "k")
		go put(t, s, "k")
		time.Sleep(20 * time.Second)
		drop(t, m.Store, "k")
		open()
		synctest.Wait()
		must[backend.Object](t)(s.Stat(ctx, "k"))
		time.Sleep(10 * time.Second)
		missing(t, s, "k")
	})
}

// Where two mutations of a key overlap, the last answer need not be the last state.
func TestOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers gate
		c := New(Config{})
		m, s := fixture(c, mem.Config{Lost: answers.pass})
		lists(t, s, "")
		open := answers.close("put", "k")
		go put(t, s, "k")
		synctest.Wait()
		if err := s.Delete(ctx, "k", backend.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		missing(t, s, "k")
		lists(t, s, "")
		open()
		synctest.Wait()
		missing(t, s, "k")
		lists(t, s, "")
		if len(m.Keys()) != 0 {
			t.Error("the test is wrong")
		}
		settled(t, c)
	})
}

var errOdd = errors.New("odd")

// A mutation whose answer was lost may have taken effect, or may do so later.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lose := error(nil)
		c := New(Config{})
		m, s := fixture(c, mem.Config{Lost: func(op, _ string) error {
			if op == "put" || op == "delete" {
				return lose
			}
			return nil
		}})
		missing(t, s, "k")
		lists(t, s, "")
		lose = errOdd
		if _, err := s.Put(ctx, "k", nil, backend.PutOptions{}); !errors.Is(err, errOdd) {
			t.Fatal(err)
		}
		lose = nil
		m.are(t, "setup", none{"stat": 1, "list": 1, "put": 1})
		must[backend.Object](t)(s.Stat(ctx, "k"))
		must[backend.Object](t)(s.Stat(ctx, "k"))
		m.are(t, "nothing is kept while in doubt", none{"stat": 2})
		lists(t, s, "", "k")
		m.are(t, "the listing is read again", none{"list": 1})
		if err := m.Delete(ctx, "k", backend.DeleteOptions{}); err != nil { // as if it landed only now
			t.Fatal(err)
		}
		missing(t, s, "k")
		put(t, s, "k")
		must[backend.Object](t)(s.Stat(ctx, "k"))
		m.are(t, "the doubt outlives a later success", none{"delete": 1, "put": 1, "stat": 2})
		time.Sleep(30 * time.Second)
		must[backend.Object](t)(s.Stat(ctx, "k"))
		must[backend.Object](t)(s.Stat(ctx, "k"))
		m.are(t, "it ends with the TTL", none{"stat": 1})

		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Delete(cancelled, "k", backend.DeleteOptions{}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		must[backend.Object](t)(s.Stat(ctx, "k"))
		must[backend.Object](t)(s.Stat(ctx, "k"))
		m.are(t, "a cancelled mutation is in doubt too", none{"delete": 1, "stat": 2})
		settled(t, c)
	})
}

// A refusal is no doubt, but what is known is not believed any more.
func TestRefused(t *testing.T) {
	c := New(Config{})
	m, s := fixture(c, mem.Config{})
	put(t, m.Store, "dir/k")
	must[backend.Object](t)(s.Stat(ctx, "dir/k"))
	lists(t, s, "dir/", "dir/k")
	put(t, m.Store, "dir/k") // a new version
	m.are(t, "setup", none{"put": 2, "stat": 1, "list": 1})
	stale := must[backend.Object](t)(s.Stat(ctx, "dir/k"))
	if _, err := s.Put(ctx, "dir/k", nil, backend.PutOptions{If: backend.Condition{ETag: stale.ETag}}); !errors.Is(err, backend.ErrChanged) {
		t.Fatal(err)
	}
	must[backend.Object](t)(s.Stat(ctx, "dir/k"))
	must[backend.Object](t)(s.Stat(ctx, "dir/k"))
	m.are(t, "one Stat", none{"put": 1, "stat": 1})
	lists(t, s, "dir/", "dir/k")
	m.are(t, "and one List", none{"list": 1})
	settled(t, c)
}

// A stale entry costs a retry, never wrong bytes.
func TestStaleRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(s *Store, etag string) error
	}{
		{"open", func(s *Store, etag string) error {
			_, _, err := s.Open(ctx, "k", backend.OpenOptions{ETag: etag})
			return err
		}},
		{"copy", func(s *Store, etag string) error {
			_, err := s.Copy(ctx, "dst", "k", backend.CopyOptions{SrcETag: etag})
			return err
		}},
		{"copy part", func(s *Store, etag string) error {
			u, err := s.NewUpload(ctx, "dst", backend.PutOptions{})
			if err != nil {
				return err
			}
			return u.CopyPart(ctx, 1, "k", 0, 1, backend.CopyPartOptions{SrcETag: etag})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, s := fixture(New(Config{}), mem.Config{})
			put(t, m.Store, "k")
			lists(t, s, "", "k")
			old := must[backend.Object](t)(s.Stat(ctx, "k"))
			now := must[backend.Object](t)(m.Put(ctx, "k", []byte("new"), backend.PutOptions{}))
			if err := tt.use(s, old.ETag); !errors.Is(err, backend.ErrChanged) {
				t.Fatal(err)
			}
			if o := must[backend.Object](t)(s.Stat(ctx, "k")); o.ETag != now.ETag {
				t.Errorf("still %+v", o)
			}
			if err := tt.use(s, now.ETag); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("unpinned", func(t *testing.T) {
		m, s := fixture(New(Config{}), mem.Config{})
		missing(t, s, "k")
		lists(t, s, "")
		put(t, m.Store, "k")
		r, _, err := s.Open(ctx, "k", backend.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if p := must[[]byte](t)(io.ReadAll(r)); string(p) != "k" {
			t.Errorf("%q", p)
		}
		must[backend.Object](t)(s.Stat(ctx, "k"))
		lists(t, s, "", "k")
		if err := m.Delete(ctx, "k", backend.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Open(ctx, "k", backend.OpenOptions{}); !errors.Is(err, backend.ErrNotExist) {
			t.Fatal(err)
		}
		missing(t, s, "k")
		lists(t, s, "")
	})
}

func TestPanic(t *testing.T) {
	boom := false
	c := New(Config{})
	_, s := fixture(c, mem.Config{Fault: func(op, _ string) error {
		if boom {
			panic(op)
		}
		return nil
	}})
	survive := func(f func()) {
		t.Helper()
		defer func() {
			boom = false
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		boom = true
		f()
	}
	survive(func() { _, _ = s.Stat(ctx, "k") })
	survive(func() { list(t, s, "") })
	survive(func() { put(t, s, "k") })
	missing(t, s, "k")
	lists(t, s, "")
	settled(t, c)
}

// What was archived is asked for anew after its restore, and is kept where there is none.
func TestRestore(t *testing.T) {
	for _, cold := range []string{"GLACIER", ""} {
		inner := mem.New(mem.Config{Cold: cold})
		s := New(Config{}).Wrap("s", inner)
		if _, err := s.Put(ctx, "k", []byte("x"), backend.PutOptions{Attributes: backend.Attributes{StorageClass: "GLACIER"}}); err != nil {
			t.Fatal(err)
		}
		if o, err := s.Stat(ctx, "k"); err != nil || o.Archived != (cold != "") {
			t.Fatalf("%+v, %v", o, err)
		}
		before := inner.Count("stat")
		if err := s.Restore(ctx, "k", backend.RestoreOptions{}); (err == nil) != (cold != "") || err != nil && !errors.Is(err, backend.ErrUnsupported) {
			t.Fatalf("Restore: %v", err)
		}
		if o, err := s.Stat(ctx, "k"); err != nil || o.Archived {
			t.Errorf("after the restore: %+v, %v", o, err)
		}
		if asked := inner.Count("stat") > before; asked != (cold != "") {
			t.Errorf("cold %q: the store was asked: %v", cold, asked)
		}
	}
}
