package transfer

import (
	"os"
	"syscall"
)

// hold returns p, which is of the slab, with a capacity of n bytes. The first time it reserves all the address space that the slab
// may need, whose pages come into being when they are written. They are no part of the heap, so that the collector, which lets that grow by
// a share of itself, has nothing to do with them. They are never unmapped: a request that was given up may still look at its body. Huge pages would
// make more of them resident than was written.
func (s *slab) hold(p []byte, n int64) []byte {
	if s.mem == nil {
		mem, err := syscall.Mmap(-1, 0, 1<<s.class, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err == nil {
			s.mem, s.mapped = mem, true
			_ = syscall.Madvise(mem, syscall.MADV_NOHUGEPAGE) // a kernel without huge pages does not know it
		}
	}
	return s.copied(p, n) // where the address space is limited, it is the heap's
}

// trim is release of what is mapped. Less than a page cannot be given back, and does not count.
func (s *slab) trim() {
	page := int64(os.Getpagesize())
	if from := (s.extent + page - 1) / page * page; from < s.resident && syscall.Madvise(s.mem[from:], syscall.MADV_DONTNEED) != nil {
		return
	}
	s.resident = s.extent
}
