package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// upload is an object being written in parts, which another process may go on with.
type upload struct {
	store *Store
	key   string
	id    string
	opts  backend.PutOptions

	mu    sync.Mutex
	parts map[int]part
	done  bool // committed
	ended bool // aborted
	clean bool // nothing of a committed upload is left
}

var _ backend.Upload = (*upload)(nil)

type part struct {
	size    int64
	sum     uint32 // CRC-32C
	checked bool   // sum is known
}

// record is the name of the object that says that an upload is there: its content is the key. From the beginning of an abort it is
// empty, so that a process which does not know of that writes no more.
const record = "upload"

func (u *upload) prefix() string             { return hidden + u.id + "/" }
func (u *upload) recorded() string           { return u.prefix() + record }
func (u *upload) name(n int) string          { return fmt.Sprintf("%s%05d", u.prefix(), n) }
func (u *upload) joint(l, n int) string      { return fmt.Sprintf("%sjoint-%d-%05d", u.prefix(), l, n) }
func (u *upload) op(op string, n int) string { return fmt.Sprintf("%s %d", op, n) }

// NewUpload implements backend.Store. It writes a small object that ResumeUpload looks for.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	u := &upload{store: s, key: key, id: rand.Text(), opts: opts, parts: map[int]part{}}
	p := []byte(key)
	if _, err := s.send(ctx, s.handle(u.recorded()), plainAttrs(), known(p, crc32.Checksum(p, castagnoli))); err != nil {
		return nil, s.wrap(ctx, "new upload", key, err)
	}
	return u, nil
}

// plainAttrs are those of the objects below hidden. They live in the standard class, since others bill what is deleted early.
func plainAttrs() storage.ObjectAttrs {
	return storage.ObjectAttrs{ContentType: contentType(""), StorageClass: standard}
}

// grace is how long a part on its way may go on when its upload is given up.
const grace = 500 * time.Millisecond

// reluctant is ctx with a cancellation that takes effect after a grace. A part that the store has got already is answered by
// then; one that arrived behind the abort of its upload would stay.
func reluctant(ctx context.Context) (context.Context, context.CancelFunc) {
	slow, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-slow.Done():
		}
	})
	return slow, func() {
		stop()
		cancel(nil)
	}
}

func (u *upload) check(n int) error {
	if n < 1 || n > caps.MaxParts {
		return fmt.Errorf("gcs part %d of %s: parts are 1 to %d: %w", n, u.key, caps.MaxParts, backend.ErrTooLarge)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended || u.done {
		return fmt.Errorf("gcs part %d of %s: the upload has ended", n, u.key)
	}
	return nil
}

// WritePart implements backend.Upload with objects.insert.
func (u *upload) WritePart(ctx context.Context, n int, p []byte) error {
	if err := u.check(n); err != nil {
		return err
	}
	if int64(len(p)) > caps.MaxPart {
		return fmt.Errorf("gcs part %d of %s: %d bytes: %w", n, u.key, len(p), backend.ErrTooLarge)
	}
	if err := ctx.Err(); err != nil {
		return u.store.wrap(ctx, u.op("part", n), u.key, err)
	}
	ctx, cancel := reluctant(ctx)
	defer cancel()
	sum := crc32.Checksum(p, castagnoli)
	if _, err := u.store.send(ctx, u.store.handle(u.name(n)), plainAttrs(), known(p, sum)); err != nil {
		return u.store.wrap(ctx, u.op("part", n), u.key, err)
	}
	return u.keep(ctx, n, part{size: int64(len(p)), sum: sum, checked: true})
}

// keep notes a part that the store has got, unless somebody has aborted the upload before: an abort ends the record first and then
// deletes what it finds, so that either it finds this part or this finds the end.
func (u *upload) keep(ctx context.Context, n int, p part) error {
	a, err := u.store.handle(u.recorded()).Attrs(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) || err == nil && a.Size == 0 {
		return errors.Join(u.over(u.op("part", n)), u.remove(ctx, u.name(n)))
	}
	if err != nil {
		return u.store.wrap(ctx, u.op("part", n), u.key, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
	return nil
}

// Abort implements backend.Upload: it deletes the parts until none is left.
func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	done, clean := u.done, u.clean
	u.ended = !done
	u.mu.Unlock()
	if done && clean {
		return nil
	}
	if err := u.sweep(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clean = true
	return nil
}
