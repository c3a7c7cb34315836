package transfer

import (
	"context"
	"math/bits"
	"time"
)

// chunk is the capacity that a buffer starts with.
const chunk = 64 << 10

// lease is a buffer whose capacity is counted by a Budget.
type lease struct {
	b         *Budget
	slab      *slab
	p         []byte
	overdraft *overdraft // nil: none
}

// slab is memory that a buffer can grow in. The process has only so much of it as was used since it was last released.
type slab struct {
	mem      []byte
	mapped   bool  // mem is no part of the heap
	class    int   // power of two that mem can grow to
	extent   int64 // bytes that a lease has now
	resident int64 // bytes that have been used
	huge     int64 // bytes of mem that may be in huge pages
}

// rest is what the process pays for though no lease has it.
func (s *slab) rest() int64 { return max(0, s.resident-s.extent) }

// copied is hold where a slab is of the heap: p with a capacity of n bytes.
func (s *slab) copied(p []byte, n int64) []byte {
	if int64(len(s.mem)) < n {
		s.mem = make([]byte, n)
		copy(s.mem, p)
	}
	return s.mem[:len(p):n]
}

// release gives what is behind the extent back to the system. Of the heap, the collector takes all or nothing.
func (s *slab) release() {
	switch {
	case s.mapped:
		s.trim()
	case s.extent == 0:
		s.mem, s.resident = nil, 0
	}
}

// admit returns an empty lease, which can grow to limit bytes, to a transfer that holds no buffer. It waits for the memory.
func (b *Budget) admit(ctx context.Context, d demand, limit int64) (*lease, error) {
	if !b.try(d, b.size) {
		if _, err := b.wait(ctx, d); err != nil {
			return nil, err
		}
	}
	return b.lease(d.size, limit), nil
}

// tryLease returns an empty lease of n bytes if that leaves at least spare bytes free, otherwise nil.
func (b *Budget) tryLease(n, spare int64) *lease {
	if !b.try(demand{size: n}, b.size-spare) {
		return nil
	}
	return b.lease(n, n)
}

// grow raises the capacity to n bytes, within the limit of admit. It returns false where the memory is not free, unless must is
// set: then it waits for it until ctx ends.
func (l *lease) grow(ctx context.Context, n int64, must bool) (bool, error) {
	d := demand{held: int64(cap(l.p)), size: n}
	var another *overdraft
	switch {
	case l.b.try(d, l.b.size):
	case !must:
		return false, nil
	case l.b.overdraw(l.overdraft, d):
	default:
		var err error
		if another, err = l.b.wait(ctx, d); err != nil {
			return false, err
		}
	}
	l.b.mu.Lock()
	if another != nil {
		if l.overdraft != nil { // is late
			l.b.out--
		}
		l.overdraft = another
	}
	l.p = l.slab.hold(l.p, n)
	l.b.resize(l.slab, n)
	l.b.shed()
	l.b.mu.Unlock()
	return true, nil
}

// free returns the memory. The bytes must not be used any more.
func (l *lease) free() {
	n := int64(cap(l.p))
	l.p = nil
	l.b.give(demand{size: n}, l.overdraft, l.slab)
	l.slab = nil
}

// lease makes a lease of n bytes, which are taken already, that can grow to limit.
func (b *Budget) lease(n, limit int64) *lease {
	c := class(max(n, limit))
	b.mu.Lock()
	defer b.mu.Unlock()
	var s *slab
	if last := len(b.free[c]) - 1; last >= 0 {
		s = b.free[c][last] // of those that nobody has, the last are the ones that are resident
		b.free[c][last] = nil
		b.free[c] = b.free[c][:last]
		b.spare[c] = min(b.spare[c], last)
	} else {
		s = &slab{class: c}
	}
	b.leased[s] = true
	p := s.hold(nil, n)
	b.resize(s, n)
	b.shed()
	return &lease{b: b, slab: s, p: p}
}

// resize notes that a lease has n bytes of a slab. mu is held.
func (b *Budget) resize(s *slab, n int64) {
	b.idle -= s.rest()
	s.extent = n
	s.resident = max(s.resident, n)
	b.idle += s.rest()
}

// keep puts a slab aside that nobody has any more. mu is held.
func (b *Budget) keep(s *slab) {
	b.resize(s, 0)
	delete(b.leased, s)
	b.free[s.class] = append(b.free[s.class], s)
	if b.timer == nil {
		b.timer = time.AfterFunc(sweepTime, b.sweep)
	}
}

// shed gives so much of what no lease has back to the system that all is within the size. mu is held.
func (b *Budget) shed() {
	for c := range b.free {
		for i := 0; i < len(b.free[c]) && b.excess(); i++ {
			b.release(b.free[c][i])
		}
	}
	for s := range b.leased {
		if !b.excess() {
			return
		}
		b.release(s)
	}
}

func (b *Budget) excess() bool { return b.idle > 0 && b.used+b.idle > b.size }

// release gives what no lease has of a slab back to the system. mu is held.
func (b *Budget) release(s *slab) {
	if s.rest() > 0 {
		b.idle -= s.rest()
		s.release()
		b.idle += s.rest()
	}
}

// sweepTime is how long memory is kept that nobody uses.
const sweepTime = 20 * time.Second

// sweep gives back to the system what nobody has used since the last sweep.
func (b *Budget) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.free {
		for _, s := range b.free[c][:b.spare[c]] {
			b.release(s)
		}
		b.spare[c] = len(b.free[c])
	}
	b.timer = nil
	if b.idle > 0 {
		b.timer = time.AfterFunc(sweepTime, b.sweep)
	}
}

// class is the power of two that n bytes fit in, from a chunk on.
func class(n int64) int { return bits.Len64(uint64(max(n, chunk) - 1)) }
