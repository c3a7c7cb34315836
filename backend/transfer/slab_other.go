//go:build !linux

package transfer

// hold returns p, which is of the slab, with a capacity of n bytes.
func (s *slab) hold(p []byte, n int64) []byte { return s.copied(p, n) }

// release leaves a slab that nobody has to the collector.
func (s *slab) release() {
	if s.extent == 0 {
		s.mem, s.resident = nil, 0
	}
}
