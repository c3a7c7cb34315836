package transfer

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"sluice/backend"
	"sluice/backend/mem"
)

// damager is a store that damages tails when they are read. It tells their checksums.
type damager struct{ backend.Store }

func (d damager) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	body, obj, err := d.Store.Open(ctx, key, opts)
	if err != nil || !strings.HasPrefix(key, ".sluice/tails/") {
		return body, obj, err
	}
	defer body.Close()
	p, err := io.ReadAll(body)
	h := crc32.NewIEEE()
	_, _ = h.Write(p)
	obj.Checksums = map[string][]byte{"CRC32": h.Sum(nil)}
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
	if _, err := e.Resume(t.Context(), damager{s}, *p, AtEnd, bytes.NewReader(data[10:]), anns()); !errors.Is(err, backend.ErrUnavailable) {
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
