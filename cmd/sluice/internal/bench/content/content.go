// Package content makes the bytes that the benchmarks move: a block of noise over and over, so that anyone can make any part of it
// and tell whether what arrived is it. The store without a disk, the load client and the runner use it.
package content

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/minio/crc64nvme"
)

// period is the length of the block. It divides no part size, so that parts which change places do not go unnoticed.
const period = 1<<20 + 7

// anchor is how many bytes tell where in the block they are from.
const anchor = 16

// block is the noise, with as much of its beginning behind it as an anchor across the end needs.
var block = sync.OnceValue(func() []byte {
	p := make([]byte, period+anchor)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p[:period])
	copy(p[period:], p)
	return p
})

// At returns some bytes of the content from off on, at least one. They must not be changed.
func At(off int64) []byte { return block()[off%period : period] }

// Write writes n bytes of the content from off on.
func Write(w io.Writer, off, n int64) error {
	for end := off + n; off < end; {
		p := At(off)
		if int64(len(p)) > end-off {
			p = p[:end-off]
		}
		k, err := w.Write(p)
		if off += int64(k); err != nil {
			return err
		}
	}
	return nil
}

// Reader returns n bytes of the content from off on.
func Reader(off, n int64) io.Reader { return &reader{off: off, left: n} }

type reader struct{ off, left int64 }

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], At(r.off))
	r.off, r.left = r.off+int64(n), r.left-int64(n)
	return n, nil
}

// Check is a writer that compares what it gets with the content. Its zero value finds out by itself where in the content it begins.
type Check struct {
	Start int64 // where in the content the first byte is from, as far as that can be told: below the period
	Size  int64 // bytes so far
	Wrong bool  // they are not of the content

	placed bool
}

// From returns a Check of what begins at off.
func From(off int64) *Check { return &Check{Start: off % period, placed: true} }

// Write implements io.Writer. It never fails.
func (c *Check) Write(p []byte) (int, error) {
	if len(p) > 0 && !c.placed {
		at := bytes.Index(block(), p[:min(len(p), anchor)])
		c.Start, c.placed, c.Wrong = int64(max(at, 0)), true, at < 0
	}
	for rest := p; len(rest) > 0 && !c.Wrong; {
		want := At(c.Start + c.Size)
		want = want[:min(len(want), len(rest))]
		c.Wrong = !bytes.Equal(want, rest[:len(want)])
		c.Size += int64(len(want))
		rest = rest[len(want):]
	}
	return len(p), nil
}

// Follows reports whether what c has seen goes on where off bytes of the content end.
func (c *Check) Follows(off int64) bool { return !c.Wrong && c.Start == off%period }

var sums sync.Map // int64 to uint64

// Sum is the CRC-64/NVME of the first n bytes. It is computed once.
func Sum(n int64) uint64 {
	if v, ok := sums.Load(n); ok {
		return v.(uint64)
	}
	h := crc64nvme.New()
	_ = Write(h, 0, n)
	sums.Store(n, h.Sum64())
	return h.Sum64()
}
