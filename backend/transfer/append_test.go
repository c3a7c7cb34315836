package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

func TestAppend(t *testing.T) {
	small := smallCaps()
	noCopy := smallCaps()
	noCopy.CopyPart, noCopy.MaxPart = false, 200
	large := mem.DefaultCaps()
	for name, caps := range map[string]backend.Caps{"small": small, "no part copy": noCopy, "large": large} {
		for _, head := range []int{0, 1, 4, 5, 9, 10, 199, 200, 201, 399, 400, 401, 450} {
			for _, cut := range []int{0, 1, 7, head / 2, head} {
				for _, n := range []int{0, 1, 9, 10, 11, 200} {
					if cut > head {
						continue
					}
					base, tail := pattern(head), pattern(n)
					offset := head - cut
					want := append(bytes.Clone(base[:offset]), tail...)
					s := mem.New(mem.Config{Caps: &caps})
					obj := mustPut(t, s, "k", base)
					got, err := New(Config{PartSize: 10}).Append(t.Context(), s, obj, int64(offset), bytes.NewReader(tail), UploadOptions{})
					if err != nil || got.Size != int64(len(want)) || !bytes.Equal(content(t, s, "k"), want) {
						t.Fatalf("%s: %d bytes at %d of %d: %d bytes, %v", name, n, offset, head, got.Size, err)
					}
					wantOnly(t, s, "k")
					if n == 0 && cut == 0 && head >= 5 && caps.CopyPart && got.ETag != obj.ETag {
						t.Errorf("%s: appending nothing to %d bytes wrote", name, head)
					}
				}
			}
		}
	}
}

func TestAppendServerSide(t *testing.T) {
	s := mem.New(mem.Config{})
	base := mustPut(t, s, "k", pattern(1000))
	if _, err := New(Config{PartSize: 10}).Append(t.Context(), s, base, 1000, bytes.NewReader(pattern(5)), UploadOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.Count("open") != 0 || s.Count("copypart") != 1 || s.Count("writepart") != 1 {
		t.Errorf("%d opens, %d copies, %d parts", s.Count("open"), s.Count("copypart"), s.Count("writepart"))
	}
}

// Large objects are copied in slices, unless the store is better at whole ones.
func TestCuts(t *testing.T) {
	caps := backend.Caps{CopyPart: true, MinPart: 5 << 20, MaxCopyPart: 5 << 30}
	for _, tc := range []struct {
		size  int64
		free  int
		whole bool
		want  int
	}{
		{0, 100, false, 0}, {1 << 20, 100, false, 0}, {5 << 20, 100, false, 1}, {10 << 30, 100, false, 20}, {10 << 30, 10, false, 2}, {10 << 30, 1, false, 0},
		{4 << 30, 100, true, 1}, {10 << 30, 100, true, 2}, {10 << 30, 1, true, 0},
	} {
		caps.CopyWhole = tc.whole
		if got := cuts(caps, tc.size, tc.free); got != tc.want {
			t.Errorf("%d bytes, %d free, whole %v: %d, want %d", tc.size, tc.free, tc.whole, got, tc.want)
		}
	}
}

func TestAppendToChanged(t *testing.T) {
	caps := smallCaps()
	for _, head := range []int{0, 3, 100} {
		s := mem.New(mem.Config{Caps: &caps})
		base := mustPut(t, s, "k", pattern(head))
		mustPut(t, s, "k", []byte("new"))
		_, err := New(Config{PartSize: 10}).Append(t.Context(), s, base, base.Size, bytes.NewReader(pattern(50)), UploadOptions{})
		if !errors.Is(err, backend.ErrChanged) || string(content(t, s, "k")) != "new" {
			t.Errorf("head %d: %v", head, err)
		}
		wantOnly(t, s, "k")
	}
}

func TestAppendCutOff(t *testing.T) {
	caps := smallCaps()
	for _, head := range []int{3, 300} {
		for n := range 60 {
			s := mem.New(mem.Config{Caps: &caps})
			base := mustPut(t, s, "k", pattern(head))
			r := &endReader{p: pattern(n), err: io.ErrUnexpectedEOF}
			_, err := New(Config{PartSize: 10}).Append(t.Context(), s, base, base.Size, r, UploadOptions{})
			if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(content(t, s, "k"), pattern(head)) {
				t.Errorf("head %d, cut after %d: %v", head, n, err)
			}
			wantOnly(t, s, "k")
		}
	}
}

func TestAppendRange(t *testing.T) {
	s := mem.New(mem.Config{})
	base := mustPut(t, s, "k", pattern(10))
	for _, off := range []int64{-1, 11} {
		if _, err := New(Config{}).Append(t.Context(), s, base, off, nil, UploadOptions{}); !errors.Is(err, backend.ErrRange) {
			t.Errorf("%d: %v", off, err)
		}
	}
}

func TestCopy(t *testing.T) {
	noCopy := smallCaps()
	noCopy.CopyPart, noCopy.MaxPart = false, 300
	partial := smallCaps()
	partial.ListMetadata = false
	for name, caps := range map[string]backend.Caps{"small": smallCaps(), "no part copy": noCopy, "partial": partial} {
		for _, n := range []int{0, 1, 299, 300, 301, 400, 401, 460} {
			s := mem.New(mem.Config{Caps: &caps})
			e := New(Config{PartSize: 10})
			opts := UploadOptions{PutOptions: backend.PutOptions{Attributes: backend.Attributes{ContentType: "a/b", Metadata: map[string]string{"x": "y"}}}}
			if _, err := e.Upload(t.Context(), s, "k", bytes.NewReader(pattern(n)), opts); err != nil {
				t.Fatal(err)
			}
			var src backend.Object
			for row, err := range s.List(t.Context(), "k", backend.ListOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				src = row.Object
			}
			got, err := e.Copy(t.Context(), s, "l", src, backend.CopyOptions{If: backend.Condition{Absent: true}})
			if err != nil || !bytes.Equal(content(t, s, "l"), pattern(n)) || got.ContentType != "a/b" || got.Metadata["x"] != "y" {
				t.Errorf("%s, %d bytes: %+v, %v", name, n, got, err)
			}
			if _, err := e.Copy(t.Context(), s, "l", src, backend.CopyOptions{If: backend.Condition{Absent: true}}); !errors.Is(err, backend.ErrChanged) {
				t.Errorf("%s, %d bytes, onto another: %v", name, n, err)
			}
			mustPut(t, s, "k", pattern(n+1))
			if _, err := e.Copy(t.Context(), s, "m", src, backend.CopyOptions{}); !errors.Is(err, backend.ErrChanged) {
				t.Errorf("%s, %d bytes, source changed: %v", name, n, err)
			}
			wantOnly(t, s, "k", "l")
		}
	}
}

func TestRelay(t *testing.T) {
	from, to := mem.New(mem.Config{}), mem.New(mem.Config{})
	src := mustPut(t, from, "k", pattern(1234))
	e := New(Config{PartSize: 100})
	if _, err := e.Relay(t.Context(), to, "l", from, src, backend.CopyOptions{If: backend.Condition{Absent: true}}); err != nil || !bytes.Equal(content(t, to, "l"), pattern(1234)) {
		t.Error(err)
	}
	if _, err := e.Relay(t.Context(), to, "l", from, src, backend.CopyOptions{If: backend.Condition{Absent: true}}); !errors.Is(err, backend.ErrChanged) {
		t.Error(err)
	}
	wantOnly(t, to, "l")
}

// attributed is a store that changes the attributes of objects which are too large for it to copy.
type attributed struct{ *mem.Store }

func (a attributed) Caps() backend.Caps {
	caps := a.Store.Caps()
	caps.MaxCopy = 50
	return caps
}

// Other attributes of a large object are one request, where that is all the store needs; elsewhere it is copied onto itself in parts.
func TestEdit(t *testing.T) {
	small := mem.DefaultCaps()
	small.MaxCopy = 50
	for name, c := range map[string]struct {
		caps  backend.Caps
		parts int
		wrap  func(*mem.Store) backend.Store
	}{
		"in place": {mem.DefaultCaps(), 0, func(s *mem.Store) backend.Store { return attributed{s} }},
		"copied":   {small, 1, func(s *mem.Store) backend.Store { return s }},
	} {
		m := mem.New(mem.Config{Caps: &c.caps})
		src := mustPut(t, m, "k", pattern(100))
		a := backend.Attributes{ContentType: "a/b"}
		o, err := New(Config{PartSize: 10}).Copy(t.Context(), c.wrap(m), "k", src, backend.CopyOptions{If: backend.Condition{ETag: src.ETag}, Replace: &a})
		if err != nil || o.ContentType != "a/b" || m.Count("copypart") != c.parts || !bytes.Equal(content(t, m, "k"), pattern(100)) {
			t.Errorf("%s: %+v, %v, %d parts", name, o, err, m.Count("copypart"))
		}
	}
}

// What is read of an object to be sent again is compared with what the store keeps of it, the bytes behind it included.
func TestAppendVerified(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.MinPart = 1 << 20
	s := mem.New(mem.Config{Caps: &caps})
	data := pattern(1000)
	base := mustPut(t, s, "k", data)
	sums := map[string][]byte{"CRC32": binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))}
	for _, at := range []int64{3, 500, 999} {
		_, err := New(Config{}).Append(t.Context(), damaged{s, sums, at}, base, 500, bytes.NewReader([]byte("more")), UploadOptions{})
		if !errors.Is(err, backend.ErrUnavailable) || !bytes.Equal(content(t, s, "k"), data) {
			t.Errorf("damaged at %d: %v", at, err)
		}
	}
	if _, err := New(Config{}).Append(t.Context(), damaged{s, sums, -1}, base, 500, bytes.NewReader([]byte("more")), UploadOptions{}); err != nil {
		t.Error(err)
	}
	if got := content(t, s, "k"); string(got) != string(data[:500])+"more" {
		t.Errorf("%d bytes", len(got))
	}
}
