package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestUploadSizes(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
		"halves": iotest.HalfReader, "EOF with data": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		for _, n := range []int{0, 1, 99, 100, 101, 199, 200, 201, 299, 300, 301, 1000, 4321} {
			caps := mem.DefaultCaps()
			caps.MinPart = 10
			s := mem.New(mem.Config{Caps: &caps})
			e := New(Config{PartSize: 100})
			want := pattern(n)
			obj, err := e.Upload(t.Context(), s, "k", wrap(bytes.NewReader(want)), UploadOptions{})
			if err != nil || obj.Size != int64(n) || !bytes.Equal(content(t, s, "k"), want) {
				t.Fatalf("%s, %d bytes: %+v, %v", name, n, obj, err)
			}
			wantOnly(t, s, "k")
			puts, ups := 0, 1
			if n <= 100 {
				puts, ups = 1, 0
			}
			if s.Count("put") != puts || s.Count("newupload") != ups || s.Count("writepart") != ups*((n+99)/100) {
				t.Errorf("%s, %d bytes: %d Puts, %d uploads, %d parts", name, n, s.Count("put"), s.Count("newupload"), s.Count("writepart"))
			}
			if e.Stats().BufferBytes != 0 || e.Stats().Uploads != 0 {
				t.Errorf("%s, %d bytes: left over: %+v", name, n, e.Stats())
			}
		}
	}
}

func TestPartSize(t *testing.T) {
	const mib = 1 << 20
	s3 := mem.DefaultCaps()
	s3.MinPart, s3.MaxPart, s3.MaxParts, s3.CopyPart = 5*mib, 5<<30, 10000, true
	tight := s3
	tight.MaxPart = 10 * mib
	coarse := s3
	coarse.MinPart = 20 * mib
	for _, c := range []struct {
		name  string
		caps  backend.Caps
		parts int
		hint  int64
		want  int64
	}{
		{"first", s3, 0, 0, 8 * mib}, {"last of the first thousand", s3, 999, 0, 8 * mib},
		{"second thousand", s3, 1000, 0, 16 * mib}, {"third", s3, 2000, 0, 32 * mib}, {"fourth", s3, 3000, 0, 64 * mib},
		{"late", s3, 7999, 0, 64 * mib}, {"segment", s3, 20000, 0, 64 * mib},
		{"small hint", s3, 0, mib, 8 * mib}, {"fits", s3, 0, 8000 * 8 * mib, 8 * mib},
		{"one more", s3, 0, 8000*8*mib + 1, 16 * mib}, {"large hint", s3, 0, 1 << 50, 64 * mib},
		{"clamped by MaxPart", tight, 5000, 0, 10 * mib}, {"raised by MinPart", coarse, 0, 0, 20 * mib},
	} {
		u := &upload{Engine: New(Config{}), caps: c.caps, parts: c.parts, opts: UploadOptions{Size: c.hint}}
		if got := u.partSize(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// With smallCaps and parts of 10 bytes, the first eight parts hold 10+20+40+5*80 = 470 bytes, two part numbers are left for
// segments, of 200 bytes each. A hint makes all parts 80 bytes: segments of 640 bytes in four ranges, two of them and half of one.
func TestUploadSegments(t *testing.T) {
	for _, c := range []struct {
		n, hint  int
		segments int
		err      error
	}{
		{n: 469}, {n: 470}, {n: 471, segments: 1}, {n: 549, segments: 1}, {n: 550, segments: 1}, {n: 670, segments: 1},
		{n: 671, segments: 1}, {n: 870, segments: 1}, {n: 871, err: backend.ErrTooLarge},
		{n: 1500, err: backend.ErrTooLarge}, {n: 1500, hint: 1500, segments: 3}, {n: 1600, hint: 1600, segments: 3}, {n: 1681, hint: 1681, err: backend.ErrTooLarge},
		{n: 10, hint: 1500}, {n: 2200, hint: 2200, err: backend.ErrTooLarge},
	} {
		caps := smallCaps()
		s := mem.New(mem.Config{Caps: &caps})
		want := pattern(c.n)
		_, err := New(Config{PartSize: 10}).Upload(t.Context(), s, "k", bytes.NewReader(want), UploadOptions{Size: int64(c.hint)})
		if c.err != nil {
			if !errors.Is(err, c.err) {
				t.Errorf("%+v: %v", c, err)
			}
			wantOnly(t, s)
			continue
		}
		if err != nil || !bytes.Equal(content(t, s, "k"), want) {
			t.Errorf("%+v: %v", c, err)
		}
		wantOnly(t, s, "k")
		if got := s.Count("delete"); got != c.segments {
			t.Errorf("%+v: %d segments", c, got)
		}
	}
}

func TestUploadWithoutPartCopy(t *testing.T) {
	caps := smallCaps()
	caps.CopyPart = false
	s := mem.New(mem.Config{Caps: &caps})
	fits := pattern(10 + 20 + 40 + 7*80)
	if _, err := New(Config{PartSize: 10}).Upload(t.Context(), s, "k", bytes.NewReader(fits), UploadOptions{}); err != nil {
		t.Error(err)
	}
	_, err := New(Config{PartSize: 10}).Upload(t.Context(), s, "l", bytes.NewReader(append(fits, 0)), UploadOptions{})
	if !errors.Is(err, backend.ErrTooLarge) {
		t.Error(err)
	}
	wantOnly(t, s, "k")
}

func TestUploadTooLarge(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.MaxObject = 500
	s := mem.New(mem.Config{Caps: &caps})
	e := New(Config{PartSize: 100})
	r := &endReader{p: pattern(501), err: io.EOF}
	if _, err := e.Upload(t.Context(), s, "k", r, UploadOptions{Size: 501}); !errors.Is(err, backend.ErrTooLarge) || r.reads > 0 {
		t.Errorf("announced: %v after %d reads", err, r.reads)
	}
	if _, err := e.Upload(t.Context(), s, "k", r, UploadOptions{}); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("found out: %v", err)
	}
	wantOnly(t, s)
}

func TestUploadConditions(t *testing.T) {
	for _, n := range []int{10, 500} {
		s := mem.New(mem.Config{})
		e := New(Config{PartSize: 100})
		old := mustPut(t, s, "k", []byte("old"))
		for _, c := range []backend.Condition{{Absent: true}, {ETag: "other"}} {
			_, err := e.Upload(t.Context(), s, "k", bytes.NewReader(pattern(n)), UploadOptions{PutOptions: backend.PutOptions{If: c}})
			if !errors.Is(err, backend.ErrChanged) || string(content(t, s, "k")) != "old" {
				t.Errorf("%d bytes, %+v: %v", n, c, err)
			}
			wantOnly(t, s, "k")
		}
		opts := UploadOptions{PutOptions: backend.PutOptions{
			If: backend.Condition{ETag: old.ETag}, Attributes: backend.Attributes{ContentType: "text/x", ModTime: time.Unix(5, 0)},
		}}
		obj, err := e.Upload(t.Context(), s, "k", bytes.NewReader(pattern(n)), opts)
		if err != nil || obj.ContentType != "text/x" || !obj.ModTime.Equal(time.Unix(5, 0)) {
			t.Errorf("%d bytes: %+v, %v", n, obj, err)
		}
	}
}

// Any error but io.EOF must leave the old object, wherever it comes; and nobody reads behind the end.
func TestUploadCutOff(t *testing.T) {
	for n := range 350 {
		for _, end := range []error{io.ErrUnexpectedEOF, errBroken} {
			s := mem.New(mem.Config{})
			mustPut(t, s, "k", []byte("old"))
			r := &endReader{p: pattern(n), err: end, step: 1 + n%40}
			_, err := New(Config{PartSize: 100}).Upload(t.Context(), s, "k", r, UploadOptions{})
			if !errors.Is(err, end) || string(content(t, s, "k")) != "old" || r.late {
				t.Fatalf("cut after %d bytes: %v, late %v", n, err, r.late)
			}
			wantOnly(t, s, "k")
		}
	}
	_, err := New(Config{}).Upload(t.Context(), mem.New(mem.Config{}), "k", iotest.ErrReader(nil), UploadOptions{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that returns nothing: %v", err)
	}
}

// The context ends at each operation of the store in turn.
func TestUploadCancelled(t *testing.T) {
	want := pattern(700)
	for step, failed := int64(1), true; failed; step++ {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var s *mem.Store
			var ops atomic.Int64
			caps := smallCaps()
			s = mem.New(mem.Config{
				Caps:  &caps,
				Delay: func(string, string) time.Duration { return time.Millisecond },
				Fault: func(string, string) error {
					if ops.Add(1) == step {
						cancel(errBroken)
					}
					return nil
				},
			})
			_, err := New(Config{PartSize: 10, Parallel: 1}).Upload(ctx, s, "k", bytes.NewReader(want), UploadOptions{})
			total := ops.Load()
			if failed = ctx.Err() != nil; failed && err != nil {
				if !errors.Is(err, errBroken) && !errors.Is(err, context.Canceled) {
					t.Errorf("step %d: %v", step, err)
				}
				wantOnly(t, s)
			} else {
				if err != nil || !bytes.Equal(content(t, s, "k"), want) {
					t.Errorf("step %d: %v", step, err)
				}
				wantOnly(t, s, "k")
			}
			if !failed && total < 10 {
				t.Errorf("only %d operations", total)
			}
		})
	}
}

func TestUploadFullBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Config{})
		b := NewBudget(chunk, 0)
		hog, err := b.admit(t.Context(), demand{size: chunk}, 100)
		if err != nil {
			t.Fatal(err)
		}
		e := New(Config{Budget: b})
		r := &endReader{err: io.EOF}
		start := time.Now()
		_, err = e.Upload(t.Context(), s, "k", r, UploadOptions{})
		if !errors.Is(err, ErrFull) || time.Since(start) != 10*time.Second || r.reads > 0 {
			t.Errorf("%v after %v, %d reads", err, time.Since(start), r.reads)
		}
		time.AfterFunc(9*time.Second, hog.free)
		if _, err := e.Upload(t.Context(), s, "k", r, UploadOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// A store whose part fails tells the reader at its next byte, not at the end of the file.
func TestUploadStoreFails(t *testing.T) {
	s := mem.New(mem.Config{Fault: func(op, _ string) error {
		if op == "writepart" {
			return errBroken
		}
		return nil
	}})
	endless := strings.NewReader(strings.Repeat("x", 1<<20))
	_, err := New(Config{PartSize: 100}).Upload(t.Context(), s, "k", endless, UploadOptions{})
	if !errors.Is(err, errBroken) || endless.Len() == 0 {
		t.Errorf("%v with %d bytes unread", err, endless.Len())
	}
	wantOnly(t, s)
}
