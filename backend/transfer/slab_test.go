package transfer

import (
	"bytes"
	"testing"
)

// What is less than a page behind a buffer cannot be given back: it does not make every later buffer try.
func TestSlabWithoutRest(t *testing.T) {
	b := NewBudget(8<<20, 0)
	l := b.tryLease(1<<20, 0)
	defer l.free()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range []int64{1 << 20, 1<<20 - 1} {
		b.resize(l.slab, n)
		l.slab.resident = 1 << 20
		b.idle = l.slab.rest()
		b.release(l.slab)
		if b.idle != 0 {
			t.Errorf("%d bytes are kept behind %d", b.idle, n)
		}
	}
	b.resize(l.slab, 1<<20)
}

// Where nothing can be mapped, buffers are of the heap: what they take is what is counted, and nothing that somebody has is released.
func TestSlabOfHeap(t *testing.T) {
	b := NewBudget(8<<20, 0)
	want := pattern(600 << 10)
	s := &slab{class: class(1 << 20)}
	p := append(s.copied(nil, 100<<10), want[:100<<10]...)
	s.extent, s.resident = 100<<10, 100<<10
	if p = s.copied(p, 600<<10); len(s.mem) != 600<<10 {
		t.Errorf("%d bytes for %d", len(s.mem), 600<<10)
	}
	p = append(p, want[len(p):]...)
	b.resize(s, 600<<10)
	b.resize(s, 100<<10)
	b.release(s)
	if !bytes.Equal(p, want) || s.resident != 600<<10 {
		t.Errorf("%d bytes are said to be there", s.resident)
	}
	b.resize(s, 0)
	if b.release(s); b.idle != 0 || s.mem != nil {
		t.Errorf("%d bytes are kept", b.idle)
	}
}
