package transfer

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"

	"sluice/backend"
)

// DefaultMemory is the size of the Budget of an Engine that was given none.
const DefaultMemory = 256 << 20

// Budget is the memory that the buffers of all transfers share. What it hands out is counted by the capacity of the
// buffers, which grow as bytes arrive.
//
// It cannot deadlock: a part that can be shipped is shipped rather than kept waiting for memory, and of those transfers
// whose part is still too small to be shipped one at a time, the fullest, may draw beyond the size until its part has
// returned. So the size is exceeded by at most one smallest part.
type Budget struct {
	size  int64
	pools [bits.UintSize]sync.Pool // of *[]byte, by power of two

	mu        sync.Mutex
	used      int64     // bytes handed out
	peak      int64     // the most that used ever was
	overdrawn bool      // somebody draws beyond the size
	waiters   []*waiter // in order of arrival
}

type waiter struct {
	n, held int64     // bytes wanted, bytes in hand
	granted chan bool // gets one value: whether the grant is the overdraft
}

// NewBudget returns a Budget of size bytes; 0 means DefaultMemory.
func NewBudget(size int64) *Budget {
	if size <= 0 {
		size = DefaultMemory
	}
	return &Budget{size: size}
}

// Used returns the bytes in buffers now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Peak returns the most bytes that were ever in buffers at once.
func (b *Budget) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peak
}

// Size returns the bytes that the Budget was made with.
func (b *Budget) Size() int64 { return b.size }

// try takes n bytes if they are free, nobody waits, and no more than limit bytes are then in use.
func (b *Budget) try(n, limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiters) > 0 || b.used+n > limit {
		return false
	}
	b.add(n)
	return true
}

// wait takes n bytes, waiting for them until ctx ends. A caller who holds bytes that it cannot give back without more
// says so by held > 0: it may be granted the overdraft, which wait then reports.
func (b *Budget) wait(ctx context.Context, n, held int64) (overdraft bool, err error) {
	w := &waiter{n: n, held: held, granted: make(chan bool, 1)}
	b.mu.Lock()
	b.waiters = append(b.waiters, w)
	b.serve()
	b.mu.Unlock()
	select {
	case overdraft = <-w.granted:
		return overdraft, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiters, w); i >= 0 {
		b.waiters = slices.Delete(b.waiters, i, i+1)
		b.serve() // whoever stood behind may need less
		return false, context.Cause(ctx)
	}
	return <-w.granted, nil // granted just now
}

// give returns n bytes, and the overdraft if the caller had it.
func (b *Budget) give(n int64, overdraft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if overdraft {
		b.overdrawn = false
	}
	b.serve()
}

// serve grants what can be granted, in order of arrival. mu is held.
func (b *Budget) serve() {
	for len(b.waiters) > 0 && (b.used+b.waiters[0].n <= b.size || b.used == 0) {
		b.grant(0, false)
	}
	if b.overdrawn || len(b.waiters) == 0 {
		return
	}
	fullest := 0
	for i, w := range b.waiters {
		if w.held > b.waiters[fullest].held {
			fullest = i
		}
	}
	if b.waiters[fullest].held > 0 {
		b.overdrawn = true
		b.grant(fullest, true)
	}
}

func (b *Budget) grant(i int, overdraft bool) {
	w := b.waiters[i]
	b.waiters = slices.Delete(b.waiters, i, i+1)
	b.add(w.n)
	w.granted <- overdraft
}

func (b *Budget) add(n int64) {
	b.used += n
	b.peak = max(b.peak, b.used)
}

// chunk is the capacity that a buffer starts with. Up to there, capacities double from chunk, so that the pools serve them.
const chunk = 64 << 10

// lease is a buffer whose capacity is counted by a Budget.
type lease struct {
	b         *Budget
	p         []byte
	overdraft bool
}

// admit returns an empty lease of n bytes to a transfer that holds nothing. It waits for the memory, but no longer than
// patience if that is not 0.
func (b *Budget) admit(ctx context.Context, n int64, patience time.Duration) (*lease, error) {
	if !b.try(n, b.size) {
		if patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, patience, errFull)
			defer cancel()
		}
		if _, err := b.wait(ctx, n, 0); err != nil {
			return nil, err
		}
	}
	return &lease{b: b, p: b.buffer(n)}, nil
}

var errFull = fmt.Errorf("transfer buffers exhausted: %w", backend.ErrUnavailable)

// tryLease returns an empty lease of n bytes if that leaves at least spare bytes free, otherwise nil.
func (b *Budget) tryLease(n, spare int64) *lease {
	if !b.try(n, b.size-spare) {
		return nil
	}
	return &lease{b: b, p: b.buffer(n)}
}

// grow raises the capacity to n bytes. It returns false where the memory is not free, unless must is set: then it waits
// for it until ctx ends.
func (l *lease) grow(ctx context.Context, n int64, must bool) (bool, error) {
	more := n - int64(cap(l.p))
	switch {
	case l.overdraft:
		l.b.mu.Lock()
		l.b.add(more)
		l.b.mu.Unlock()
	case l.b.try(more, l.b.size):
	case !must:
		return false, nil
	default:
		overdraft, err := l.b.wait(ctx, more, int64(cap(l.p)))
		if err != nil {
			return false, err
		}
		l.overdraft = overdraft
	}
	old := l.p
	l.p = append(l.b.buffer(n), old...)
	l.b.recycle(old)
	return true, nil
}

// free returns the memory. The bytes must not be used any more.
func (l *lease) free() {
	n := int64(cap(l.p))
	l.b.recycle(l.p)
	l.p = nil
	l.b.give(n, l.overdraft)
}

// buffer returns an empty slice with a capacity of exactly n.
func (b *Budget) buffer(n int64) []byte {
	if pooled(n) {
		if p, ok := b.pools[bits.Len64(uint64(n))].Get().(*[]byte); ok {
			return (*p)[:0]
		}
	}
	return make([]byte, 0, n)
}

func (b *Budget) recycle(p []byte) {
	if n := int64(cap(p)); pooled(n) {
		b.pools[bits.Len64(uint64(n))].Put(&p)
	}
}

func pooled(n int64) bool { return n >= chunk && n&(n-1) == 0 }
