//go:build !linux

package transfer

// hold returns p, which is of the slab, with a capacity of n bytes.
func (s *slab) hold(p []byte, n int64) []byte { return s.copied(p, n) }

// trim is of what is mapped: nothing.
func (s *slab) trim() {}
