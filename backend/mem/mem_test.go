package mem_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) backend.Store { return mem.New(mem.Config{Page: 3}) }, storetest.Options{Page: 3})
}

// TestStoreSmall runs the suite with small limits and without what a store may lack.
func TestStoreSmall(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.MaxKey, caps.MaxPut, caps.MinPart, caps.MaxPart, caps.MaxParts, caps.MaxCopy = 300, 16<<10, 4<<10, 8<<10, 20, 10000
	caps.CopyPart, caps.ListMetadata, caps.Conditional, caps.Move = false, false, true, true
	storetest.Run(t, func(*testing.T) backend.Store { return mem.New(mem.Config{Caps: &caps, Page: 1}) }, storetest.Options{
		Page:  1,
		Lacks: map[storetest.Gap]string{storetest.LongNames: "MaxKey is 300"},
	})
}

func TestFault(t *testing.T) {
	boom := errors.New("boom")
	var fail atomic.Value
	fail.Store("")
	fault := func(op, key string) error {
		if op == fail.Load() && key == "k" {
			return boom
		}
		return nil
	}
	ctx := t.Context()
	for _, lost := range []bool{false, true} {
		cfg := mem.Config{Fault: fault}
		if lost {
			cfg = mem.Config{Lost: fault}
		}
		s := mem.New(cfg)
		put := func(body string) error {
			_, err := s.Put(ctx, "k", []byte(body), backend.PutOptions{})
			return err
		}
		if err := put("old"); err != nil {
			t.Fatal(err)
		}
		fail.Store("put")
		if err := put("newer"); !errors.Is(err, boom) {
			t.Errorf("Put: %v", err)
		}
		fail.Store("commit")
		u, err := s.NewUpload(ctx, "k", backend.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.WritePart(ctx, 1, []byte("by upload")); err != nil {
			t.Fatal(err)
		}
		st, err := s.Stat(ctx, "k")
		if want := map[bool]int64{false: 3, true: 5}[lost]; err != nil || st.Size != want {
			t.Errorf("lost %v: after Put %+v, %v", lost, st, err)
		}
		if _, err := u.Commit(ctx, 1); !errors.Is(err, boom) {
			t.Errorf("Commit: %v", err)
		}
		open := s.Uploads()
		st, err = s.Stat(ctx, "k")
		switch {
		case err != nil:
			t.Error(err)
		case lost && (st.Size != 9 || open != nil):
			t.Errorf("a commit whose answer is lost took no effect: %+v, open %q", st, open)
		case !lost && (st.Size != 3 || !slices.Equal(open, []string{"k"})):
			t.Errorf("a commit that failed took effect: %+v, open %q", st, open)
		}
		if err := u.Abort(ctx); err != nil || s.Uploads() != nil {
			t.Errorf("Abort: %v, open %q", err, s.Uploads())
		}
		if s.Count("put") != 2 || s.Count("commit") != 1 || s.Count("stat") != 2 || s.Count("list") != 0 {
			t.Errorf("counts are wrong: put %d", s.Count("put"))
		}
		fail.Store("list")
		for _, err := range s.List(ctx, "k", backend.ListOptions{}) {
			if !errors.Is(err, boom) {
				t.Errorf("List: %v", err)
			}
		}
	}
}

func TestCut(t *testing.T) {
	boom := errors.New("boom")
	s := mem.New(mem.Config{Cut: func(string) (int64, error) { return 4, boom }})
	if _, err := s.Put(t.Context(), "k", []byte("0123456789"), backend.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(t.Context(), "k", backend.OpenOptions{Offset: 2})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := io.ReadAll(r); string(p) != "2345" || !errors.Is(err, boom) {
		t.Errorf("read %q, %v", p, err)
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{Delay: func(op, _ string) time.Duration {
			if op == "put" {
				return time.Hour
			}
			return 0
		}})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Put(ctx, "k", nil, backend.PutOptions{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Put: %v after %v", err, time.Since(start))
		}
		if _, err := s.Put(t.Context(), "k", nil, backend.PutOptions{}); err != nil || time.Since(start) != 61*time.Minute {
			t.Errorf("Put: %v after %v", err, time.Since(start))
		}
	})
}
