package transfer

import (
	"os"
	"syscall"
	"unsafe"
)

// hugePage is what a page table of x86-64 and arm64 spans. To touch memory for the first time costs by the page, and much of it
// in virtual machines; so whole ones of these are asked for.
const hugePage = 2 << 20

// hold returns p, which is of the slab, with a capacity of n bytes. The first time it reserves all the address space that the slab
// may need, whose pages come into being when they are written. They are no part of the heap, so that the collector, which lets that grow by
// a share of itself, has nothing to do with them. They are never unmapped: a request that was given up may still look at its body. Huge
// pages are only where all of one is held: elsewhere more would be resident than was written.
func (s *slab) hold(p []byte, n int64) []byte {
	if s.mem == nil {
		size, skip := 1<<s.class, 0
		if size >= hugePage {
			skip = hugePage
		}
		mem, err := syscall.Mmap(-1, 0, size+skip, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
		if err == nil {
			_ = syscall.Madvise(mem, syscall.MADV_NOHUGEPAGE) // of all, so that neighbours are one area to the kernel; one without huge pages does not know it
			if skip > 0 {
				skip = int(-uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % hugePage)
			}
			s.mem, s.mapped = mem[skip:skip+size], true
		}
	}
	if huge := n / hugePage * hugePage; s.mapped && huge > s.huge {
		_ = syscall.Madvise(s.mem[s.huge:huge], syscall.MADV_HUGEPAGE)
		s.huge = huge
	}
	return s.copied(p, n) // where the address space is limited, it is the heap's
}

// trim is release of what is mapped. Less than a page cannot be given back, and does not count.
func (s *slab) trim() {
	page := int64(os.Getpagesize())
	if from := (s.extent + page - 1) / page * page; from < s.resident {
		if s.huge > from {
			if syscall.Madvise(s.mem[from:], syscall.MADV_NOHUGEPAGE) != nil {
				return
			}
			s.huge = from / hugePage * hugePage
		}
		if syscall.Madvise(s.mem[from:], syscall.MADV_DONTNEED) != nil {
			return
		}
	}
	s.resident = s.extent
}
