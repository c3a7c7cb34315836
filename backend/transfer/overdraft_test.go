package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend/mem"
)

// Clients that are so slow that every overdraft is late do not make the budget grow with their number.
func TestBudgetLateOverdrafts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := mem.DefaultCaps()
		caps.MinPart = 1 << 20
		b := NewBudget(8<<20, 0)
		e := New(Config{Budget: b, PartSize: 1 << 20})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		done := 0
		var mu sync.Mutex
		s := mem.New(mem.Config{Caps: &caps})
		for i := range 60 {
			wg.Go(func() {
				r := &endReader{p: pattern(1 << 20), err: io.EOF, step: 10_000, every: time.Second}
				if _, err := e.Upload(ctx, s, fmt.Sprint(i), r, UploadOptions{}); err == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if limit := b.size + b.size/8 + 2*caps.MinPart; b.Peak() > limit || b.Used() != 0 || b.overdrawn != 0 || b.out != 0 {
			t.Errorf("%d bytes at most, want %d; %d bytes left, %d and %d overdrafts", b.Peak(), limit, b.Used(), b.overdrawn, b.out)
		}
		if done < 60 {
			t.Errorf("%d of 60 were complete in an hour", done)
		}
	})
}

// A budget with less room than one upload needs serves one after the other.
func TestBudgetTiny(t *testing.T) {
	for _, size := range []int64{1, 100 << 10, 256 << 10, 480 << 10} {
		synctest.Test(t, func(t *testing.T) {
			caps := mem.DefaultCaps()
			caps.MinPart = 1 << 20
			s := mem.New(mem.Config{Caps: &caps})
			b := NewBudget(size, 160<<10)
			e := New(Config{Budget: b, PartSize: 1 << 20, Patience: time.Hour})
			hold := b.tryLease(1, 0) // such as a download's
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					r := &endReader{p: pattern(5 << 19), err: io.EOF}
					if _, err := e.Upload(ctx, s, fmt.Sprint(i), r, UploadOptions{}); err != nil {
						t.Errorf("size %d: %v", size, err)
					}
				})
			}
			time.Sleep(20 * time.Minute)
			if hold != nil {
				hold.free()
			}
			wg.Wait()
			if b.Used() != 0 || b.out != 0 {
				t.Errorf("%d bytes left, %d overdrafts", b.Used(), b.out)
			}
		})
	}
}

// Parts that are larger than the budget do not make an upload wait for all of it.
func TestBudgetLargeParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := mem.DefaultCaps()
		caps.MinPart = 1 << 20
		s := mem.New(mem.Config{Caps: &caps})
		b := NewBudget(8<<20, 0)
		e := New(Config{Budget: b, PartSize: 64 << 20})
		idle := b.tryLease(2*chunk, 0) // a download whose client reads nothing
		defer idle.free()
		start := time.Now()
		if _, err := e.Upload(t.Context(), s, "k", &endReader{p: pattern(30 << 20), err: io.EOF}, UploadOptions{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}
