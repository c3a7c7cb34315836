package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

// staller delivers the first bytes of p, then waits, then delivers the rest.
type staller struct {
	p     []byte
	first int
	until <-chan struct{}
	there func() // called before it waits
}

func (s *staller) Read(p []byte) (int, error) {
	if s.first == 0 && s.until != nil {
		s.there()
		<-s.until
		s.until, s.first = nil, len(s.p)
	}
	if len(s.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.p[:min(s.first, 16<<10)])
	s.p, s.first = s.p[n:], s.first-n
	return n, nil
}

// checking is a sink that compares what it is given.
type checking struct {
	sink
	want []byte
	mu   sync.Mutex
	good int
}

func (c *checking) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	c.mu.Lock()
	if bytes.Equal(p, c.want) {
		c.good++
	}
	c.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	return c.sink.Put(ctx, key, p, opts)
}

// A thousand uploads run at once, none of which ends before all have begun, in less memory than their buffers would grow to.
func TestThousandUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, size = 1000, 200 << 10
		b := NewBudget(256<<20, 160<<10)
		e := New(Config{Budget: b})
		s := &checking{sink: sink{mem.New(mem.Config{})}, want: pattern(size)}
		var wg, begun sync.WaitGroup
		begun.Add(n)
		all := make(chan struct{})
		for i := range n {
			wg.Go(func() {
				r := &staller{p: s.want, first: 50_000, until: all, there: begun.Done}
				if _, err := e.Upload(t.Context(), s, fmt.Sprint(i), r, UploadOptions{}); err != nil {
					t.Error(i, err)
				}
			})
		}
		begun.Wait()
		close(all)
		wg.Wait()
		if s.good != n || b.Used() != 0 || b.fixed != 0 || b.large != 0 {
			t.Errorf("%d are right; %d bytes are in use at the end", s.good, b.Used())
		}
		if b.Peak() > b.Size()+1<<20 || b.Peak() < b.Size()*9/10 {
			t.Errorf("%d bytes at once, of %d", b.Peak(), b.Size())
		}
	})
}

// Clients that have filled the buffers and send no more starve nobody: small files go through, and large ones too.
func TestStalledUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caps := mem.DefaultCaps()
		caps.MinPart = 2 << 20
		s := mem.New(mem.Config{Caps: &caps})
		b := NewBudget(16<<20, 0)
		e := New(Config{Budget: b, PartSize: 3 << 20})
		var stalled, rest, filled sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan struct{})
		for i := range 8 { // the last of them draws beyond the size
			filled.Add(1)
			stalled.Go(func() {
				r := &staller{p: pattern(2 << 20), first: 1_900_000, until: end, there: filled.Done}
				if _, err := e.Upload(ctx, s, fmt.Sprintf("stalled%d", i), r, UploadOptions{}); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrFull) {
					t.Error(err)
				} else if errors.Is(err, ErrFull) {
					filled.Done() // nothing is left for it
				}
			})
		}
		time.Sleep(time.Minute)
		if b.Used() < b.Size()/4*3 {
			t.Fatalf("only %d bytes are in the hands of who stalls", b.Used())
		}
		for i, size := range []int{100, 100_000, 200_000, 10 << 20, 3 << 20, 0, 5 << 20} {
			rest.Go(func() {
				start := time.Now()
				key := fmt.Sprintf("good%d", i)
				if _, err := e.Upload(t.Context(), s, key, &endReader{p: pattern(size), err: io.EOF, step: 16 << 10}, UploadOptions{}); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				} else if got := content(t, s, key); !bytes.Equal(got, pattern(size)) {
					t.Errorf("%d bytes: got %d", size, len(got))
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("%d bytes took %v", size, took)
				}
			})
		}
		rest.Wait()
		cancel()
		close(end)
		stalled.Wait()
		if b.Used() != 0 || b.overdrawn != 0 || b.Peak() > b.Size()+b.Size()/8+2*caps.MinPart {
			t.Errorf("%d bytes left, overdrawn %d, at most %d", b.Used(), b.overdrawn, b.Peak())
		}
	})
}

// There are only so many uploads as there is room for what they cost besides; the next one is told so in time.
func TestUploadSeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(3<<20, 1<<20) // two seats
		e := New(Config{Budget: b})
		s := mem.New(mem.Config{})
		end := make(chan struct{})
		var wg, begun sync.WaitGroup
		for i := range 2 {
			begun.Add(1)
			wg.Go(func() {
				r := &staller{p: pattern(1000), first: 500, until: end, there: begun.Done}
				if _, err := e.Upload(t.Context(), s, fmt.Sprint(i), r, UploadOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
		begun.Wait()
		start := time.Now()
		r := &endReader{p: pattern(10), err: io.EOF}
		if _, err := e.Upload(t.Context(), s, "third", r, UploadOptions{}); !errors.Is(err, ErrFull) || time.Since(start) != 10*time.Second || r.reads > 0 {
			t.Errorf("no seat: %v after %v and %d reads", err, time.Since(start), r.reads)
		}
		wg.Go(func() {
			if _, err := e.Upload(t.Context(), s, "fourth", &endReader{p: pattern(10), err: io.EOF}, UploadOptions{}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(5 * time.Second)
		close(end)
		wg.Wait()
		wantOnly(t, s, "0", "1", "fourth")
		if b.Used() != 0 || len(b.seats) != 0 {
			t.Errorf("%d bytes and %d seats left", b.Used(), len(b.seats))
		}
	})
}

// What is kept for the next buffers counts, is used again, and goes when nobody has wanted it for a while.
func TestBudgetKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8<<20, 0)
		l, _ := b.admit(t.Context(), demand{size: chunk}, 4<<20)
		for n := int64(chunk); n < 4<<20; n *= 2 {
			if ok, err := l.grow(t.Context(), 2*n, true); !ok || err != nil {
				t.Fatal(err)
			}
			l.p = l.p[:cap(l.p)]
			l.p[len(l.p)-1] = byte(n >> 16)
		}
		if l.p[2*chunk-1] != 1 || l.p[4<<20-1] != 32 {
			t.Error("what was written is gone")
		}
		mem := &l.p[0]
		l.free()
		if b.used != 0 || b.idle != 4<<20 {
			t.Errorf("%d in use, %d kept", b.used, b.idle)
		}
		l, _ = b.admit(t.Context(), demand{size: chunk}, 4<<20)
		if &l.p[:1][0] != mem || b.used+b.idle != 4<<20 {
			t.Errorf("not used again: %d in use, %d kept", b.used, b.idle)
		}
		other := b.tryLease(7<<20, 0) // all but the eighth
		if other == nil || b.used+b.idle > b.size {
			t.Errorf("%d in use, %d kept", b.used, b.idle)
		}
		l.free()
		other.free()
		time.Sleep(2*sweepTime + time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.idle != 0 || b.timer != nil || b.used != 0 {
			t.Errorf("%d are kept for ever", b.idle)
		}
	})
}
