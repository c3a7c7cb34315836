package transfer

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// resident counts the bytes of mem that are there.
func resident(t *testing.T, mem []byte) (n int64) {
	t.Helper()
	page := os.Getpagesize()
	pages := make([]byte, len(mem)/page)
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int64(p&1) * int64(page)
	}
	return n
}

func touch(p []byte) {
	for i := 0; i < len(p); i += 4096 {
		p[i] = 1
	}
}

// No more of a slab is resident than somebody has used, whatever size its pages have, and after it was whole as well.
func TestSlabResident(t *testing.T) {
	b := NewBudget(64<<20, 0)
	l := b.lease(8<<20, 8<<20)
	s := l.slab
	if !s.mapped {
		t.Fatal("no memory was mapped")
	}
	for _, n := range []int64{chunk, 3 << 20, 8 << 20, 5<<20 + chunk, 100 << 10, 2 << 20, 4<<20 + 1} {
		b.mu.Lock()
		l.p = s.hold(l.p[:0], n)
		b.resize(s, n)
		b.release(s)
		b.mu.Unlock()
		touch(l.p[:n])
		if got := resident(t, s.mem); got < n || got >= n+int64(os.Getpagesize()) {
			t.Errorf("%d bytes are resident of %d", got, n)
		}
		if s.resident != n {
			t.Errorf("%d bytes are counted of %d", s.resident, n)
		}
	}
}

// A buffer grows without its bytes being moved.
func TestSlabGrows(t *testing.T) {
	b := NewBudget(64<<20, 0)
	l := b.lease(chunk, 8<<20)
	var want []byte
	for n := int64(chunk); ; n = min(larger(n), 8<<20) {
		if ok, err := l.grow(t.Context(), n, true); !ok || err != nil {
			t.Fatal(ok, err)
		}
		more := pattern(int(n) - len(want))
		want = append(want, more...)
		l.p = append(l.p, more...)
		if n == 8<<20 {
			break
		}
	}
	if string(l.p) != string(want) {
		t.Error("the bytes have changed")
	}
}
