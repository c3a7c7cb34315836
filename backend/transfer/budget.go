package transfer

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// DefaultMemory is the size of the Budget of an Engine that was given none.
const DefaultMemory = 256 << 20

// Budget is the memory that all transfers share. It counts the capacity of their buffers, which grow as bytes arrive, what is kept
// for the next ones, and for each upload what that costs besides.
//
// It cannot deadlock: a part that can be shipped is shipped rather than kept waiting for memory, and of those transfers
// whose part is still too small to be shipped one at a time, the fullest, may draw beyond the size until its part has
// returned. So the size is exceeded by less than twice one smallest part.
//
// Nor do clients that have filled their buffers and send no more keep others from sending: large buffers leave an eighth of the size to small
// ones, and if who draws beyond the size does not return within five seconds, the next one may as well, unless another eighth is gone.
type Budget struct {
	size     int64
	overhead int64         // of an upload
	little   int64         // capacity up to which a buffer is small
	seats    chan struct{} // one per upload where there is an overhead, which takes two thirds of the size at most

	mu        sync.Mutex
	used      int64     // bytes counted, but for the idle ones
	fixed     int64     // of these, overhead
	large     int64     // of these, in buffers that are not small
	peak      int64     // the most that used ever was
	overdrawn int       // how many draw beyond the size and are not late
	out       int       // overdrafts that have not been returned
	waiters   []*waiter // in order of arrival
	floor     int64     // bytes in small buffers when the first of them came, less what has been returned of such since

	idle   int64                  // bytes that the process has and nobody uses
	free   [bits.UintSize][]*slab // that nobody has, by power of two
	spare  [bits.UintSize]int     // the fewest of them since the last sweep
	leased map[*slab]bool
	timer  *time.Timer // of the next sweep; nil: there is none
}

// demand is a buffer of size bytes for one of held bytes, which may be none, and what is counted besides.
type demand struct{ held, size, fixed int64 }

func (d demand) bytes() int64 { return d.size - d.held + d.fixed }

type waiter struct {
	demand
	granted chan *overdraft // gets one value: nil where the grant is none
}

// overdraft is that somebody draws beyond the size.
type overdraft struct {
	timer *time.Timer // of overdraftTime
	ended bool        // it has been returned, or is late
}

// overdraftTime is when an overdraft is late.
const overdraftTime = 5 * time.Second

// NewBudget returns a Budget of size bytes; 0 means DefaultMemory. overhead is what an upload costs besides its buffers.
func NewBudget(size, overhead int64) *Budget {
	if size <= 0 {
		size = DefaultMemory
	}
	b := &Budget{size: size, overhead: overhead, little: max(chunk, min(1<<20, size/64)), leased: map[*slab]bool{}}
	if overhead > 0 {
		b.seats = make(chan struct{}, max(1, size/3*2/overhead))
	}
	return b
}

// Used returns the bytes that transfers have now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Peak returns the most bytes that transfers ever had at once.
func (b *Budget) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peak
}

// Size returns the bytes that the Budget was made with.
func (b *Budget) Size() int64 { return b.size }

// heavy is what a buffer of n bytes counts for large.
func (b *Budget) heavy(n int64) int64 {
	if n <= b.little {
		return 0
	}
	return n
}

// small is the bytes in small buffers. mu is held.
func (b *Budget) small() int64 { return b.used - b.large - b.fixed }

// lower counts what small buffers have returned, or what has become large: were it replaced for ever, large ones would starve. Whoever has
// passed counts like those that were there before. mu is held.
func (b *Budget) lower(before int64) {
	if less := before - b.small(); less > 0 {
		b.floor = max(0, b.floor-less)
	}
}

// fits reports whether a demand can be met within limit bytes. Where no buffer is out, any can. mu is held.
func (b *Budget) fits(d demand, limit int64) bool {
	if b.used == b.fixed {
		return true
	}
	return b.used+d.bytes() <= limit && (d.size <= b.little || b.large+b.heavy(d.size)-b.heavy(d.held) <= b.size-b.size/8)
}

// try takes what is demanded if nobody waits, and no more than limit bytes are then in use.
func (b *Budget) try(d demand, limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiters) > 0 || b.used+d.bytes() > limit || !b.fits(d, limit) {
		return false
	}
	b.take(d)
	return true
}

// wait takes what is demanded, waiting for it until ctx ends. A caller who holds bytes, which it cannot give back without more,
// may be granted an overdraft, which wait then returns.
func (b *Budget) wait(ctx context.Context, d demand) (*overdraft, error) {
	w := &waiter{demand: d, granted: make(chan *overdraft, 1)}
	b.mu.Lock()
	if len(b.waiters) == 0 {
		b.floor = b.small()
	}
	b.waiters = append(b.waiters, w)
	b.serve()
	b.mu.Unlock()
	select {
	case o := <-w.granted:
		return o, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiters, w); i >= 0 {
		b.waiters = slices.Delete(b.waiters, i, i+1)
		b.serve() // whoever stood behind may need less
		return nil, context.Cause(ctx)
	}
	return <-w.granted, nil // granted just now
}

// give returns what was taken, the overdraft if the caller had one, and the slab if there is one.
func (b *Budget) give(d demand, o *overdraft, s *slab) {
	b.mu.Lock()
	defer b.mu.Unlock()
	small := b.small()
	b.used -= d.bytes()
	b.fixed -= d.fixed
	b.large -= b.heavy(d.size) - b.heavy(d.held)
	b.lower(small)
	if o != nil {
		o.timer.Stop()
		b.end(o)
		b.out--
	}
	if s != nil {
		b.keep(s)
	}
	if !b.serve() {
		b.shed()
	}
}

// serve grants what can be granted, in order of arrival, and reports whether there was anything. Where large ones must wait, what stands behind
// them and is small may have an eighth of the size more than those have that were there when the queue began. mu is held.
func (b *Budget) serve() (served bool) {
	blocked, closed := false, false
	for i := 0; i < len(b.waiters); {
		d := b.waiters[i].demand
		ok := b.fits(d, b.size)
		if blocked {
			ok = ok && !closed && d.size <= b.little && b.small()+d.size-d.held <= b.floor+b.size/8
		}
		if ok {
			b.grant(i, nil)
			served = true
		} else {
			blocked, closed = true, closed || d.size <= b.little
			i++
		}
	}
	if b.overdrawn > 0 || len(b.waiters) == 0 {
		return served
	}
	fullest := 0
	for i, w := range b.waiters {
		if w.held > b.waiters[fullest].held {
			fullest = i
		}
	}
	if b.waiters[fullest].held == 0 || b.out > 0 && b.used > b.most() {
		return served
	}
	o := &overdraft{}
	o.timer = time.AfterFunc(overdraftTime, func() { b.delayed(o) })
	b.overdrawn++
	b.out++
	b.grant(fullest, o)
	return true
}

// most is what late overdrafts may bring the bytes in use to. Only the one that is not late goes beyond.
func (b *Budget) most() int64 { return b.size + b.size/8 }

// overdraw takes what is demanded beyond the size for who has an overdraft, unless that is late and too much is taken.
func (b *Budget) overdraw(o *overdraft, d demand) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o == nil || o.ended && b.used+d.bytes() > b.most() {
		return false
	}
	b.take(d)
	return true
}

// delayed lets somebody else draw beyond the size. It is put off while there is no room for another: then only who has this one is
// sure to go on.
func (b *Budget) delayed(o *overdraft) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !o.ended && b.used > b.most() {
		o.timer.Reset(overdraftTime)
		return
	}
	b.end(o)
	b.serve()
}

// end makes room for another overdraft, at the first call. mu is held.
func (b *Budget) end(o *overdraft) {
	if !o.ended {
		o.ended = true
		b.overdrawn--
	}
}

func (b *Budget) grant(i int, o *overdraft) {
	w := b.waiters[i]
	b.waiters = slices.Delete(b.waiters, i, i+1)
	b.take(w.demand)
	w.granted <- o
}

func (b *Budget) take(d demand) {
	small := b.small()
	b.used += d.bytes()
	b.fixed += d.fixed
	b.large += b.heavy(d.size) - b.heavy(d.held)
	b.lower(small)
	b.peak = max(b.peak, b.used)
}

// join is admit for an upload that begins, with a buffer of n bytes. leave must follow unless there was an error.
func (b *Budget) join(ctx context.Context, n, limit int64, patience time.Duration) (*lease, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrFull)
	defer cancel()
	if b.seats != nil {
		select {
		case b.seats <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	l, err := b.admit(ctx, demand{size: n, fixed: b.overhead}, limit)
	if err != nil && b.seats != nil {
		<-b.seats
	}
	return l, err
}

// leave returns what join has taken but for the buffer.
func (b *Budget) leave() {
	if b.seats != nil {
		b.give(demand{fixed: b.overhead}, nil, nil)
		<-b.seats
	}
}

// ErrFull means that no buffer came free in time: others transfer files.
var ErrFull = errors.New("transfer buffers exhausted")
