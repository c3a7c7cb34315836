package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/crc64nvme"

	"sluice/backend"
	"sluice/backend/mem"
)

const mib = 1 << 20

func TestOpen(t *testing.T) {
	s := mem.New(mem.Config{})
	e := New(Config{})
	for _, n := range []int{0, 1, 1000, 3 * mib} {
		want := pattern(n)
		obj := mustPut(t, s, "k", want)
		for _, off := range []int{0, 1, n / 2, n} {
			for _, length := range []int{0, 1, n / 3} {
				if off > n {
					continue
				}
				part := want[off:]
				if length > 0 {
					part = part[:min(length, len(part))]
				}
				r, got, err := e.Open(t.Context(), s, "k", OpenOptions{Offset: int64(off), Length: int64(length)})
				if err != nil || got.ETag != obj.ETag {
					t.Fatalf("%d of %d: %v", off, n, err)
				}
				p, err := io.ReadAll(onlyReader{r})
				if err != nil || !bytes.Equal(p, part) {
					t.Errorf("%d bytes at %d of %d: %d bytes, %v", length, off, n, len(p), err)
				}
				r.Close()
			}
		}
	}
	if _, _, err := e.Open(t.Context(), s, "k", OpenOptions{Offset: 3*mib + 1}); !errors.Is(err, backend.ErrRange) {
		t.Error(err)
	}
	if _, _, err := e.Open(t.Context(), s, "none", OpenOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := e.Open(t.Context(), s, "k", OpenOptions{ETag: "x"}); !errors.Is(err, backend.ErrChanged) {
		t.Error(err)
	}
	if e.Stats().Downloads != 0 {
		t.Errorf("%+v", e.Stats())
	}
}

// onlyReader hides WriteTo.
type onlyReader struct{ io.Reader }

// Every body breaks after 1,000 bytes; each is taken up where it broke.
func TestOpenResumes(t *testing.T) {
	for _, end := range []error{errBroken, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{Cut: func(string) (int64, error) { return 1000, end }})
			want := pattern(20_500)
			mustPut(t, s, "k", want)
			r, _, err := New(Config{}).Open(t.Context(), s, "k", OpenOptions{Offset: 500})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			p, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(p, want[500:]) || s.Count("open") != 20 {
				t.Errorf("%d bytes in %d requests, %v", len(p), s.Count("open"), err)
			}
		})
	}
}

// A body that breaks without a byte ends the read after a few attempts, and never as io.EOF.
func TestOpenGivesUp(t *testing.T) {
	for _, end := range []error{errBroken, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			s := mem.New(mem.Config{Cut: func(string) (int64, error) { return 0, end }})
			mustPut(t, s, "k", pattern(1000))
			r, _, err := New(Config{}).Open(t.Context(), s, "k", OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			p, err := io.ReadAll(r)
			if end == io.EOF {
				end = io.ErrUnexpectedEOF
			}
			if len(p) > 0 || !errors.Is(err, end) || errors.Is(err, io.EOF) || s.Count("open") != attempts {
				t.Errorf("%d bytes, %v after %d requests", len(p), err, s.Count("open"))
			}
			if n, err2 := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err2, end) {
				t.Errorf("once more: %v", err2)
			}
		})
	}
}

// Never two versions in one file.
func TestOpenChanged(t *testing.T) {
	for _, gone := range []bool{false, true} {
		var broken atomic.Bool
		s := mem.New(mem.Config{Cut: func(string) (int64, error) {
			if broken.Load() {
				return 0, nil
			}
			return 100, errBroken
		}})
		mustPut(t, s, "k", pattern(1000))
		r, _, err := New(Config{}).Open(t.Context(), s, "k", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			_ = s.Delete(t.Context(), "k", backend.DeleteOptions{})
		} else {
			mustPut(t, s, "k", pattern(999))
		}
		broken.Store(true)
		p, err := io.ReadAll(r)
		if !errors.Is(err, backend.ErrChanged) || !bytes.Equal(p, pattern(1000)[:100]) {
			t.Errorf("gone %v: %d bytes, %v", gone, len(p), err)
		}
		r.Close()
	}
}

// pacedWriter takes 64 KiB a pause, and compares them with what it wants.
type pacedWriter struct {
	want  []byte
	pause time.Duration
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	time.Sleep(w.pause * time.Duration(len(p)) / (64 << 10))
	if !bytes.HasPrefix(w.want, p) {
		return 0, errors.New("wrong bytes")
	}
	w.want = w.want[len(p):]
	return len(p), nil
}

// The window opens for a client that is quicker than one request, and for no other.
func TestOpenWindow(t *testing.T) {
	const size = 32*mib + 12345
	want := pattern(size)
	s := mem.New(mem.Config{})
	mustPut(t, s, "k", want)
	for _, c := range []struct {
		name          string
		store, client time.Duration // per 64 KiB
		memory        int64
		fewest, most  int           // requests
		longest       time.Duration // 0: do not care
	}{
		{"slow client", time.Millisecond, 10 * time.Millisecond, 0, 1, 1, 0},
		{"quick client", 10 * time.Millisecond, 0, 0, 8, 30, 3 * time.Second}, // one request takes 5.1 s
		{"a bit quicker", 10 * time.Millisecond, 4 * time.Millisecond, 0, 5, 30, 4 * time.Second},
		{"instant", 0, 0, 0, 1, 1, 0},
		{"no memory", 10 * time.Millisecond, 0, mib, 1, 1, 0},
		{"little memory", 10 * time.Millisecond, 0, 6 * mib, 8, 40, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(c.memory, 0)
			before := s.Count("open")
			start := time.Now()
			r, _, err := New(Config{Budget: b}).Open(t.Context(), slowStore{s, c.store}, "k", OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w := pacedWriter{want, c.client}
			n, err := r.(io.WriterTo).WriteTo(&w)
			if err != nil || n != size {
				t.Errorf("%s: %d bytes, %v", c.name, n, err)
			}
			requests, took := s.Count("open")-before, time.Since(start)
			if requests < c.fewest || requests > c.most || c.longest > 0 && took > c.longest {
				t.Errorf("%s: %d requests in %v", c.name, requests, took)
			}
			if b.Peak() > b.Size()/2 {
				t.Errorf("%s: %d bytes of buffers", c.name, b.Peak())
			}
			r.Close()
			if b.Used() != 0 {
				t.Errorf("%s: %d bytes not returned", c.name, b.Used())
			}
		})
	}
}

// A client that turns slow gives the window back.
func TestOpenWindowNarrows(t *testing.T) {
	const size = 52 * mib
	s := mem.New(mem.Config{})
	mustPut(t, s, "k", make([]byte, size))
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0, 0)
		r, _, err := New(Config{Budget: b}).Open(t.Context(), slowStore{s, time.Millisecond}, "k", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, _ = io.CopyN(io.Discard, onlyReader{r}, 8*mib)
		if b.Used() == 0 {
			t.Error("no window")
		}
		buf := make([]byte, 64<<10)
		for range 42 * mib / len(buf) {
			if _, err := io.ReadFull(r, buf); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if b.Used() != 0 {
			t.Errorf("%d bytes in the window of a slow client", b.Used())
		}
	})
}

// Faults in every request and everywhere in the bodies, with the window open.
func TestOpenWindowFaults(t *testing.T) {
	want := pattern(16 * mib)
	var n atomic.Int64
	s := mem.New(mem.Config{
		Fault: func(op, _ string) error {
			if op == "open" && n.Add(1)%4 == 0 {
				return backend.ErrUnavailable
			}
			return nil
		},
		Cut: func(string) (int64, error) { return n.Load() * 99_991 % (3 * mib), errBroken },
	})
	mustPut(t, s, "k", want)
	synctest.Test(t, func(t *testing.T) {
		r, _, err := New(Config{}).Open(t.Context(), slowStore{s, time.Millisecond}, "k", OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		p, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(p, want) {
			t.Errorf("%d bytes, %v", len(p), err)
		}
	})
}

// Close and the end of ctx leave neither goroutines nor memory, at whatever point.
func TestOpenClose(t *testing.T) {
	s := mem.New(mem.Config{})
	mustPut(t, s, "k", make([]byte, 12*mib))
	for _, cancelFirst := range []bool{false, true} {
		for n := int64(0); n < 12*mib; n += 2*mib + 1 {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				b := NewBudget(0, 0)
				r, _, err := New(Config{Budget: b}).Open(ctx, slowStore{s, time.Millisecond}, "k", OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.CopyN(io.Discard, onlyReader{r}, n)
				if cancelFirst {
					cancel(errBroken)
					if _, err := io.ReadAll(r); !errors.Is(err, errBroken) && !errors.Is(err, context.Canceled) {
						t.Errorf("after %d bytes: %v", n, err)
					}
				}
				r.Close()
				r.Close()
				if _, err := r.Read(make([]byte, 1)); err == nil || b.Used() != 0 {
					t.Errorf("closed after %d bytes: %v, %d bytes in use", n, err, b.Used())
				}
			})
		}
	}
}

// damaged is a store that tells checksums, and bodies with a wrong byte at some place.
type damaged struct {
	backend.Store
	sums map[string][]byte
	at   int64 // -1: none
}

func (d damaged) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	body, obj, err := d.Store.Open(ctx, key, opts)
	if err != nil {
		return nil, obj, err
	}
	obj.Checksums = d.sums
	p, err := io.ReadAll(body)
	if i := d.at - opts.Offset; err == nil && d.at >= 0 && i >= 0 && i < int64(len(p)) {
		p = bytes.Clone(p)
		p[i] ^= 4
	}
	return io.NopCloser(bytes.NewReader(p)), obj, errors.Join(err, body.Close())
}

// What was damaged on the way is found where the store tells a checksum, before the reader comes to its end.
func TestDownloadVerified(t *testing.T) {
	s := mem.New(mem.Config{})
	data := pattern(5 << 20)
	mustPut(t, s, "k", data)
	crc := crc64nvme.Checksum(data)
	for name, sum := range map[string][]byte{
		"CRC64NVME": binary.BigEndian.AppendUint64(nil, crc),
		"CRC32C":    binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))),
		"CRC32":     binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data)),
		"MD5":       {1},
	} {
		for _, at := range []int64{-1, 0, 4_000_000, 5<<20 - 1} {
			r, _, err := New(Config{}).Open(t.Context(), damaged{s, map[string][]byte{name: sum}, at}, "k", OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if _, again := r.Read(make([]byte, 1)); err != nil && !errors.Is(again, backend.ErrUnavailable) {
				t.Errorf("%s: read on: %v", name, again)
			}
			r.Close()
			switch {
			case at < 0 || name == "MD5":
				if err != nil || len(got) != len(data) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			case !errors.Is(err, backend.ErrUnavailable) || len(got) >= len(data):
				t.Errorf("%s: damaged at %d: %d bytes, %v", name, at, len(got), err)
			}
		}
	}
	r, _, err := New(Config{}).Open(t.Context(), damaged{s, map[string][]byte{"CRC32": {1, 2, 3, 4}}, -1}, "k", OpenOptions{Offset: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[1:]) {
		t.Errorf("a part of it: %d bytes, %v", len(got), err)
	}
}
