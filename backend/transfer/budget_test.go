package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend/mem"
)

// Many more uploads than the budget has memory for all succeed, whatever their speed, and the budget is kept but for one part.
func TestBudgetSharedByMany(t *testing.T) {
	const budget, part = 1 << 20, 512 << 10
	synctest.Test(t, func(t *testing.T) {
		caps := mem.DefaultCaps()
		caps.MinPart = part / 2
		s := mem.New(mem.Config{Caps: &caps, Delay: func(string, string) time.Duration { return 20 * time.Millisecond }})
		b := NewBudget(budget, 0)
		e := New(Config{Budget: b, PartSize: part, Patience: time.Hour})
		var wg sync.WaitGroup
		for i := range 40 {
			size := i * 35_000
			wg.Go(func() {
				r := &endReader{p: pattern(size), err: io.EOF, step: 30_000, every: time.Duration(i%7) * 3 * time.Millisecond}
				key := string(rune('A' + i))
				if _, err := e.Upload(t.Context(), s, key, r, UploadOptions{}); err != nil {
					t.Errorf("%d: %v", i, err)
				} else if !bytes.Equal(content(t, s, key), pattern(size)) {
					t.Errorf("%d: wrong content", i)
				}
			})
		}
		wg.Wait()
		if b.Used() != 0 || b.Peak() > budget+part || b.Peak() < budget/2 {
			t.Errorf("%d bytes in use at the end, %d at most", b.Used(), b.Peak())
		}
		if up := s.Uploads(); len(up) > 0 {
			t.Errorf("unfinished: %q", up)
		}
	})
}

// Uploads that have sent a little cost a little.
func TestBudgetSlowUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		e := New(Config{})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 300 {
			pr, pw := io.Pipe()
			wg.Go(func() {
				if _, err := e.Upload(ctx, s, "k"+string(rune(i+200)), pr, UploadOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				_, _ = pw.Write(make([]byte, 100_000))
				<-ctx.Done()
				pw.CloseWithError(io.ErrUnexpectedEOF)
			})
		}
		synctest.Wait()
		if st := e.Stats(); st.BufferBytes != 300*2*chunk || st.Uploads != 300 {
			t.Errorf("%+v", st)
		}
		cancel()
		wg.Wait()
		wantOnly(t, s)
	})
}

// Where every upload holds memory and none has enough for a part, the fullest goes on.
func TestBudgetOverdraft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, 0)
		leases := []*lease{}
		for _, n := range []int64{30, 50, 20} {
			l, err := b.admit(t.Context(), demand{size: n}, 100)
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, l)
		}
		order := make(chan int, 3)
		var wg sync.WaitGroup
		grow := func(i int) {
			wg.Go(func() {
				if ok, err := leases[i].grow(t.Context(), 60, true); !ok || err != nil {
					t.Errorf("%d: %v", i, err)
				}
				order <- i
			})
			synctest.Wait()
		}
		if ok, err := leases[1].grow(t.Context(), 60, false); ok || err != nil {
			t.Errorf("no memory: %v, %v", ok, err)
		}
		grow(0) // the only one that waits: gets it
		if got := <-order; got != 0 || b.Used() != 130 {
			t.Errorf("%d first, %d in use", got, b.Used())
		}
		if ok, err := leases[0].grow(t.Context(), 90, false); ok || err != nil {
			t.Errorf("more than it needs: %v, %v", ok, err)
		}
		grow(2)
		grow(1)
		if len(order) > 0 {
			t.Error("two overdrafts")
		}
		leases[0].free() // 70 in use: 40 more do not fit for 2, who came first; 1 is the fullest
		if got := <-order; got != 1 {
			t.Errorf("%d second", got)
		}
		synctest.Wait()
		if len(order) > 0 {
			t.Error("two overdrafts")
		}
		leases[1].free()
		if got := <-order; got != 2 {
			t.Errorf("%d third", got)
		}
		wg.Wait()
		leases[2].free()
		if b.Used() != 0 || b.overdrawn != 0 {
			t.Errorf("%d bytes left, overdrawn %d", b.Used(), b.overdrawn)
		}
	})
}

// Small uploads pass a large one that must wait, however many small buffers there were before, but only so many.
func TestBudgetSmallPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 64 << 20
		b := NewBudget(size, 0)
		var idle []*lease // downloads whose clients read nothing
		for range size / 8 / chunk {
			idle = append(idle, b.tryLease(chunk, 0))
		}
		hog, err := b.admit(t.Context(), demand{size: size / 4 * 3}, size)
		if err != nil {
			t.Fatal(err)
		}
		large := make(chan *lease, 1)
		go func() { l, _ := b.admit(t.Context(), demand{size: size / 2}, size); large <- l }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var passed []*lease
		for {
			l, err := b.admit(ctx, demand{size: chunk}, size)
			if err != nil {
				break
			}
			passed = append(passed, l)
		}
		if len(passed) != size/8/chunk || len(large) > 0 {
			t.Errorf("%d have passed, want %d", len(passed), size/8/chunk)
		}
		hog.free()
		(<-large).free()
		for _, l := range append(idle, passed...) {
			l.free()
		}
		if b.Used() != 0 {
			t.Errorf("%d bytes left", b.Used())
		}
	})
}

// A steady stream of small uploads, which hold most of the size when a large one comes, does not keep that waiting.
func TestBudgetSmallTurnover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 64 << 20
		b := NewBudget(size, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 2 * size / chunk {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for ctx.Err() == nil {
					if l, err := b.admit(ctx, demand{size: chunk}, size); err == nil {
						time.Sleep(time.Second)
						l.free()
					}
				}
			})
		}
		time.Sleep(5 * time.Second)
		start := time.Now()
		l, err := b.admit(ctx, demand{size: size / 8}, size)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("waited for %v", took)
		}
		l.free()
		cancel()
		wg.Wait()
	})
}

func TestBudgetWaitCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, 0)
		hog, _ := b.admit(t.Context(), demand{size: 90}, 100)
		ctx, cancel := context.WithCancelCause(t.Context())
		large := make(chan error, 1)
		go func() { _, err := b.admit(ctx, demand{size: 50}, 100); large <- err }()
		synctest.Wait()
		small := make(chan *lease, 1)
		go func() { l, _ := b.admit(t.Context(), demand{size: 10}, 100); small <- l }()
		synctest.Wait()
		if len(small) > 0 {
			t.Error("jumped the queue")
		}
		cancel(errBroken)
		if err := <-large; !errors.Is(err, errBroken) {
			t.Error(err)
		}
		(<-small).free() // did not fit behind the large one, does now
		hog.free()
		if l, err := b.admit(t.Context(), demand{size: 1000}, 100); err != nil || b.Used() != 1000 {
			t.Errorf("larger than the budget, with all of it free: %v", err)
		} else {
			l.free()
		}
		_, err := b.admit(canceled(t), demand{size: 1000}, 100)
		if b.Used() != 0 && err != nil {
			t.Errorf("leaked %d", b.Used())
		}
	})
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestBudgetDownloadsLeaveHalf(t *testing.T) {
	b := NewBudget(100, 0)
	if l := b.tryLease(51, 50); l != nil {
		t.Error("more than half")
	}
	if l := b.tryLease(50, 50); l == nil {
		t.Error("not even half")
	}
}
