package gcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"

	"sluice/backend"
)

// lookTime is how long a write whose answer is not known is looked for.
const lookTime = 30 * time.Second

// made looks whether a write that failed with err has been done all the same: whether the object at key has its bytes. Where it has not, the
// error is that of backend.Told.
func (s *Store) made(ctx context.Context, key string, size int64, sum uint32, err error) (*storage.ObjectAttrs, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	a, look := s.handle(key).Attrs(ctx)
	switch {
	case look != nil && errors.Is(classify(err), backend.ErrUnavailable):
		return nil, err
	case look != nil:
		return nil, backend.Told(err, s.wrap(ctx, "look for", key, look))
	case a.Size != size || a.CRC32C != sum:
		return nil, err
	}
	return a, nil
}

// content is what one write sends.
type content struct {
	open func() (io.ReadCloser, error) // for each try anew
	size int64
	sum  *uint32 // CRC-32C, if it is known beforehand
}

// known is content that is in memory.
func known(p []byte, sum uint32) content {
	return content{size: int64(len(p)), sum: &sum, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p)), nil }}
}

// send writes an object in one request, and again as long as that may help. The SDK repeats only what it has copied to memory of
// its own.
func (s *Store) send(ctx context.Context, h *storage.ObjectHandle, attrs storage.ObjectAttrs, c content) (*storage.ObjectAttrs, error) {
	h = h.Retryer(storage.WithPolicy(storage.RetryNever))
	pause := s.retry.backoff()
	for try := 1; ; try++ {
		a, err := s.sendOnce(ctx, h, attrs, c)
		if err == nil || try >= s.retry.attempts || ctx.Err() != nil || !again(err) {
			return a, err
		}
		if stopped := gax.Sleep(ctx, pause.Pause()); stopped != nil {
			return nil, stopped
		}
	}
}

// again reports whether a write that failed may succeed when it is repeated.
func again(err error) bool {
	if errors.Is(err, backend.ErrPaused) {
		return false
	}
	damaged := status(err) == http.StatusBadRequest && errors.Is(classify(err), backend.ErrUnavailable)
	return damaged || storage.ShouldRetry(err) || errors.Is(err, backend.ErrUnavailable)
}

func (s *Store) sendOnce(ctx context.Context, h *storage.ObjectHandle, attrs storage.ObjectAttrs, c content) (*storage.ObjectAttrs, error) {
	body, err := c.open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := h.NewWriter(ctx)
	name := w.Name
	w.ObjectAttrs, w.ChunkSize, w.DisableAutoChecksum = attrs, 0, true
	w.Name, w.KMSKeyName = name, s.cfg.KMSKey
	if c.sum != nil {
		w.CRC32C, w.SendCRC32C = *c.sum, true
	}
	hash := crc32.New(castagnoli)
	n, err := copyTo(w, hash, body, c.sum == nil)
	if err != nil {
		cancel() // or Close would make an object of what was sent so far
		_ = w.Close()
		return nil, err
	}
	if n != c.size {
		cancel()
		_ = w.Close()
		return nil, fmt.Errorf("%d bytes, %d were expected: %w", n, c.size, backend.ErrDamaged)
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	sum := hash.Sum32()
	if c.sum != nil {
		sum = *c.sum
	}
	a := w.Attrs()
	if a.Size != c.size || a.CRC32C != sum {
		return nil, fmt.Errorf("the store has %d bytes with CRC-32C %08x, sent were %d with %08x: %w", a.Size, a.CRC32C, c.size, sum, backend.ErrDamaged)
	}
	return a, nil
}

// copyTo sends a body, and computes its checksum where that is asked for.
func copyTo(w io.Writer, hash io.Writer, body io.Reader, sum bool) (int64, error) {
	if sum {
		body = io.TeeReader(body, hash)
	}
	return io.Copy(w, body)
}
