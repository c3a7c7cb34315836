package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// places delivers size bytes. At every multiple of stride there is a word that tells its place; between them is anything, or if whole what
// follows from the place as well.
type places struct {
	at, size, stride int64
	whole            bool
}

// between is what is between the words, from a place modulo 251 on.
var between = func() []byte {
	p := make([]byte, 64<<10)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}()

func (r *places) Read(p []byte) (int, error) {
	n := min(int64(len(p)), r.size-r.at)
	if n == 0 {
		return 0, io.EOF
	}
	if r.whole {
		for done := int64(0); done < n; {
			done += int64(copy(p[done:n], between[(r.at+done)%251:]))
		}
	}
	for w := r.at / r.stride * r.stride; w < r.at+n; w += r.stride {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], uint64(w))
		if w < r.at { // some of it may have been read before
			copy(p[:n], word[min(8, r.at-w):])
		} else {
			copy(p[w-r.at:n], word[:])
		}
	}
	r.at += n
	return int(n), nil
}

// extent is a stretch of what places has delivered.
type extent struct{ from, size int64 }

// nowhere is a store that keeps only which stretch of places a part or an object is.
type nowhere struct {
	*mem.Store // what nobody needs
	caps       backend.Caps
	stride     int64
	whole      bool // every byte is looked at

	mu       sync.Mutex
	objects  map[string]extent
	open     int // uploads
	requests int
	largest  int64 // part that was written
}

func newNowhere(caps backend.Caps, stride int64) *nowhere {
	return &nowhere{Store: mem.New(mem.Config{}), caps: caps, stride: stride, objects: map[string]extent{}}
}

func (s *nowhere) Caps() backend.Caps { return s.caps }

func (s *nowhere) NewUpload(_ context.Context, key string, _ backend.PutOptions) (backend.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.open++
	return &nowhereUpload{s: s, key: key, parts: map[int]extent{}}, nil
}

func (s *nowhere) Delete(_ context.Context, key string, _ backend.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	delete(s.objects, key)
	return nil
}

type nowhereUpload struct {
	s     *nowhere
	key   string
	parts map[int]extent
	over  bool
}

func (u *nowhereUpload) ID() string { return u.key }

func (u *nowhereUpload) Parts(context.Context) ([]backend.Part, error) {
	return nil, backend.ErrUnsupported
}

func (u *nowhereUpload) Abort(context.Context) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.s.requests++
	u.close()
	return nil
}

func (u *nowhereUpload) close() {
	if !u.over {
		u.over = true
		u.s.open--
	}
}

func (u *nowhereUpload) WritePart(_ context.Context, n int, p []byte) error {
	var first [8]byte
	copy(first[:], p)
	from := int64(binary.LittleEndian.Uint64(first[:]))
	if u.s.whole {
		again := make([]byte, len(p))
		r := &places{size: from + int64(len(p)), stride: u.s.stride, at: from, whole: true}
		if _, err := io.ReadFull(r, again); err != nil {
			return err
		}
		if from%u.s.stride != 0 || !bytes.Equal(again, p) {
			return fmt.Errorf("part %d of %d bytes is not what is at %d", n, len(p), from)
		}
	}
	for i := int64(0); i+8 <= int64(len(p)); i += u.s.stride {
		if int64(binary.LittleEndian.Uint64(p[i:])) != from+i {
			return fmt.Errorf("part %d, which begins at %d, is wrong at %d", n, from, i)
		}
	}
	u.s.mu.Lock()
	u.s.largest = max(u.s.largest, int64(len(p)))
	u.s.mu.Unlock()
	return u.keep(n, extent{from, int64(len(p))}, u.s.caps.MaxPart)
}

func (u *nowhereUpload) CopyPart(_ context.Context, n int, src string, off, length int64, _ backend.CopyPartOptions) error {
	u.s.mu.Lock()
	o := u.s.objects[src]
	u.s.mu.Unlock()
	if off+length > o.size {
		return backend.ErrRange
	}
	return u.keep(n, extent{o.from + off, length}, u.s.caps.MaxCopyPart)
}

func (u *nowhereUpload) keep(n int, e extent, limit int64) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.s.requests++
	if e.size > limit || n < 1 || n > u.s.caps.MaxParts {
		return fmt.Errorf("part %d of %d bytes: %w", n, e.size, backend.ErrTooLarge)
	}
	u.parts[n] = e
	return nil
}

func (u *nowhereUpload) Commit(_ context.Context, parts int) (backend.Object, error) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.s.requests++
	o := extent{from: u.parts[1].from}
	for n := 1; n <= parts; n++ {
		p := u.parts[n]
		if p.from != o.from+o.size || n < parts && p.size < u.s.caps.MinPart {
			return backend.Object{}, fmt.Errorf("part %d is of %+v, in front of it is %+v", n, p, o)
		}
		o.size += p.size
	}
	u.close()
	u.s.objects[u.key] = o
	return backend.Object{Key: u.key, Size: o.size, ETag: "1"}, nil
}

// scaled are the limits of S3, a 1024th of each size.
func scaled() backend.Caps {
	c := mem.DefaultCaps()
	c.MinPart, c.MaxPart, c.MaxCopyPart, c.MaxPut, c.MaxCopy, c.MaxParts = 5<<10, 5<<20, 5<<20, 5<<20, 5<<20, 10_000
	c.MaxObject = int64(c.MaxParts) * c.MaxPart
	return c
}

// One tebibyte, a 1024th of each size: parts grow, part numbers run out, segments fill and are joined, and memory stays that of some parts.
func TestTebibyte(t *testing.T) {
	const size, stride = 1<<30 + 5, 256
	for _, c := range []struct {
		name      string
		announced int64
		requests  int
	}{
		// 1000 parts each of 8, 16 and 32 KiB and 5000 of 64 in the file, 8000 and then 2510 in segments, which are joined by 100 and 32 ranges.
		// Three uploads begin and end, two segments go.
		{"unknown", 0, 18_510 + 132 + 2*3 + 2},
		// 16,385 parts of 64 KiB, 8000 of them in the file, which 100 and 5 ranges are added to.
		{"announced", size, 16_385 + 105 + 2*3 + 2},
		// The same in three segments.
		{"announced as more than fits behind parts", 11 << 30, 16_385 + 205 + 2*4 + 3},
	} {
		b := NewBudget(4<<20, 0)
		e := New(Config{PartSize: 8 << 10, Budget: b})
		s := newNowhere(scaled(), stride)
		s.whole = true
		obj, err := e.Upload(t.Context(), s, "k", &places{size: size, stride: stride, whole: true}, UploadOptions{Size: c.announced})
		if err != nil || obj.Size != size || s.objects["k"] != (extent{0, size}) {
			t.Fatalf("%s: %+v, %v, the store has %+v", c.name, obj, err, s.objects["k"])
		}
		if len(s.objects) != 1 || s.open != 0 {
			t.Errorf("%s: %d objects and %d uploads are left", c.name, len(s.objects), s.open)
		}
		if s.requests != c.requests || s.largest != 64<<10 {
			t.Errorf("%s: %d requests, want %d; parts of up to %d bytes", c.name, s.requests, c.requests, s.largest)
		}
		if b.Used() != 0 || b.Peak() > 10*64<<10 {
			t.Errorf("%s: %d bytes of buffers at once, %d left", c.name, b.Peak(), b.Used())
		}
	}
	e := New(Config{PartSize: 8 << 10})
	s := newNowhere(scaled(), stride)
	r := &places{size: size, stride: stride}
	if _, err := e.Upload(t.Context(), s, "k", r, UploadOptions{Size: s.caps.MaxObject + 1}); !errors.Is(err, backend.ErrTooLarge) || r.at > 0 || s.requests > 0 {
		t.Errorf("announced as more than the store can hold: %v after %d bytes and %d requests", err, r.at, s.requests)
	}
	s.caps.MaxParts, s.caps.MaxObject = 50, 1<<62 // no more than 10 ranges of 5 MiB
	if _, err := e.Upload(t.Context(), s, "k", r, UploadOptions{}); !errors.Is(err, backend.ErrTooLarge) || len(s.objects) != 0 || s.open != 0 {
		t.Errorf("more than the part numbers hold: %v, %d objects and %d uploads are left", err, len(s.objects), s.open)
	}
}

// BenchmarkTebibyte uploads one, with the limits of S3 as they are.
func BenchmarkTebibyte(b *testing.B) {
	const size, stride = 1 << 40, 4096
	c := scaled()
	for _, n := range []*int64{&c.MinPart, &c.MaxPart, &c.MaxCopyPart, &c.MaxPut, &c.MaxCopy, &c.MaxObject} {
		*n <<= 10
	}
	b.SetBytes(size)
	for b.Loop() {
		budget := NewBudget(0, 0)
		s := newNowhere(c, stride)
		if _, err := New(Config{Budget: budget}).Upload(b.Context(), s, "k", &places{size: size, stride: stride}, UploadOptions{}); err != nil {
			b.Fatal(err)
		}
		if s.objects["k"] != (extent{0, size}) || budget.Peak() > budget.Size() {
			b.Fatalf("%+v, %d bytes of buffers", s.objects["k"], budget.Peak())
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(s.requests), "requests/op")
		b.ReportMetric(float64(budget.Peak())/(1<<20), "MiB-of-buffers")
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB-of-heap")
	}
}
