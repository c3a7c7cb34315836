package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// damager is a store that damages what is read of some keys. It tells the checksums of what is read whole.
type damager struct {
	backend.Store
	prefix string
}

func (d damager) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	body, obj, err := d.Store.Open(ctx, key, opts)
	if err != nil || !strings.HasPrefix(key, d.prefix) {
		return body, obj, err
	}
	defer body.Close()
	p, err := io.ReadAll(body)
	if int64(len(p)) == obj.Size {
		obj.Checksums = map[string][]byte{"CRC32": binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(p))}
	}
	p[0] ^= 1
	return io.NopCloser(bytes.NewReader(p)), obj, err
}

// A tail that is damaged on its way back is in no file, and the next who resumes the upload finds it as it was.
func TestDamagedTail(t *testing.T) {
	s, e := mem.New(mem.Config{}), small()
	data := pattern(90)
	cutOff(t, e, s, data[:10], io.ErrUnexpectedEOF)
	p := partial(t, e, s)
	wantSize(t, p, 10)
	if _, err := e.Resume(t.Context(), damager{s, ".sluice/tails/"}, *p, AtEnd, bytes.NewReader(data[10:]), anns()); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a damaged tail: %v", err)
	}
	p = partial(t, e, s)
	wantSize(t, p, 10)
	if _, err := e.Resume(t.Context(), s, *p, AtEnd, bytes.NewReader(data[10:]), anns()); err != nil {
		t.Fatal(err)
	}
	body, _, err := s.Open(t.Context(), "k", backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file is wrong: %v", err)
	}
}

// A record that is damaged on its way back, which might name other objects, is none: it stays, and is read again.
func TestDamagedRecord(t *testing.T) {
	s := mem.New(mem.Config{})
	data := pattern(90)
	cutOff(t, small(), s, data[:50], io.ErrUnexpectedEOF)
	if p, err := small().Partial(t.Context(), damager{s, ".sluice/uploads/"}, "ann", "k"); p != nil || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a damaged record: %+v, %v", p, err)
	}
	wantSize(t, partial(t, small(), s), 50)
}

// The beginning of a small file that is sent again is compared with the checksum of the whole, where a store would copy a range of it
// no better than that.
func TestDamagedBeginning(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.CopyWhole = true
	s := mem.New(mem.Config{Caps: &caps})
	base := mustPut(t, s, "k", pattern(100))
	_, err := New(Config{}).Append(t.Context(), damager{s, ""}, base, 50, bytes.NewReader(pattern(10)), UploadOptions{})
	if !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a damaged beginning: %v", err)
	}
	if now, err := s.Stat(t.Context(), "k"); err != nil || now.ETag != base.ETag {
		t.Errorf("the file is %+v, %v", now, err)
	}
}

// flicker is a store that damages what is read every other time.
type flicker struct {
	backend.Store
	opened *int
}

func (f flicker) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if *f.opened++; *f.opened%2 == 0 {
		return damager{f.Store, ""}.Open(ctx, key, opts)
	}
	return f.Store.Open(ctx, key, opts)
}

// The beginning of a large file, which has no checksum of its own, is read twice before it is sent again.
func TestDamagedBeginningOfLarge(t *testing.T) {
	caps := mem.DefaultCaps()
	caps.CopyPart = false
	for opened := range 3 { // the second read is damaged, the first one, none
		s := mem.New(mem.Config{Caps: &caps})
		data := pattern(longHead + 1)
		base := mustPut(t, s, "k", data)
		store := backend.Store(flicker{s, &opened})
		want := append(data[:1000:1000], "end"...)
		right := opened == 2
		if right {
			store = s
		}
		_, err := New(Config{}).Append(t.Context(), store, base, 1000, strings.NewReader("end"), UploadOptions{})
		switch now, statErr := s.Stat(t.Context(), "k"); {
		case right && (err != nil || !bytes.Equal(content(t, s, "k"), want)):
			t.Errorf("none is damaged: %v", err)
		case !right && (!errors.Is(err, backend.ErrUnavailable) || statErr != nil || now.ETag != base.ETag):
			t.Errorf("one of two is damaged: %v; the file is %+v, %v", err, now, statErr)
		}
	}
}
