package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// Part is a part of an upload that the store holds.
type Part struct {
	Number int
	Size   int64 // in bytes
}

// Upload is an object being written in parts, which another process may go on with.
type Upload struct {
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

var _ backend.Upload = (*Upload)(nil)

type part struct {
	size    int64
	sum     uint32 // CRC-32C
	checked bool   // sum is known
}

// record is the name of the object that says that an upload is there: its content is the key. From the beginning of an abort it is
// empty, so that a process which does not know of that writes no more.
const record = "upload"

func (u *Upload) prefix() string             { return hidden + u.id + "/" }
func (u *Upload) recorded() string           { return u.prefix() + record }
func (u *Upload) name(n int) string          { return fmt.Sprintf("%s%05d", u.prefix(), n) }
func (u *Upload) joint(l, n int) string      { return fmt.Sprintf("%sjoint-%d-%05d", u.prefix(), l, n) }
func (u *Upload) op(op string, n int) string { return fmt.Sprintf("%s %d of", op, n) }

// NewUpload implements backend.Store. It writes a small object that ResumeUpload looks for.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	u := &Upload{store: s, key: key, id: rand.Text(), opts: opts, parts: map[int]part{}}
	p := []byte(key)
	if _, err := s.send(ctx, s.handle(u.recorded()), plainAttrs(), known(p, crc32.Checksum(p, castagnoli))); err != nil {
		return nil, wrap("new upload", key, err)
	}
	return u, nil
}

// plainAttrs are those of the objects below hidden. They live in the standard class, since others bill what is deleted early.
func plainAttrs() storage.ObjectAttrs {
	return storage.ObjectAttrs{ContentType: contentType(""), StorageClass: standard}
}

// ResumeUpload returns an upload that NewUpload began, perhaps in another process, and that has neither been committed nor aborted.
// opts are those that it was begun with. ErrNotExist where the store knows no such upload of the key.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if len(id) != len(rand.Text()) || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return nil, fmt.Errorf("gcs resume %s: no id of an upload: %w", key, backend.ErrNotExist)
	}
	u := &Upload{store: s, key: key, id: id, opts: opts}
	r, _, err := s.open(ctx, u.recorded(), backend.OpenOptions{})
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	switch string(text) {
	case key:
	case "": // whoever aborted it has not come to the end
		if err := u.sweep(ctx); err != nil {
			return nil, err
		}
		return nil, u.over("resume")
	default:
		return nil, fmt.Errorf("gcs resume %s: the upload is of another key: %w", key, backend.ErrNotExist)
	}
	if u.parts, err = u.stored(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// over is the error of what is asked of an upload that has been committed or aborted.
func (u *Upload) over(op string) error {
	return fmt.Errorf("gcs %s %s: the upload is over: %w", op, u.key, backend.ErrNotExist)
}

// stored asks for the parts that the store holds.
func (u *Upload) stored(ctx context.Context) (map[int]part, error) {
	parts, alive := map[int]part{}, false
	q := &storage.Query{Prefix: u.prefix(), Projection: storage.ProjectionNoACL}
	it := u.store.bucket.Objects(ctx, q)
	for {
		a, err := it.Next()
		if errors.Is(err, errDone) {
			break
		}
		if err != nil {
			return nil, wrap("parts of", u.key, err)
		}
		alive = alive || a.Name == u.recorded() && a.Size > 0
		if n, err := strconv.Atoi(strings.TrimPrefix(a.Name, u.prefix())); err == nil {
			// A listing names no checksum of what a customer key encrypts.
			parts[n] = part{size: a.Size, sum: a.CRC32C, checked: u.store.key == nil}
		}
	}
	if !alive {
		return nil, u.over("parts of")
	}
	return parts, nil
}

// ID is all that ResumeUpload needs besides the key to find the upload again.
func (u *Upload) ID() string { return u.id }

// Parts returns the parts that the store holds, in ascending order. ErrNotExist where the upload is over.
func (u *Upload) Parts(ctx context.Context) ([]Part, error) {
	stored, err := u.stored(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Part, 0, len(stored))
	for _, n := range slices.Sorted(maps.Keys(stored)) {
		list = append(list, Part{Number: n, Size: stored[n].size})
	}
	return list, nil
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

func (u *Upload) check(n int) error {
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
func (u *Upload) WritePart(ctx context.Context, n int, p []byte) error {
	if err := u.check(n); err != nil {
		return err
	}
	if int64(len(p)) > caps.MaxPart {
		return fmt.Errorf("gcs part %d of %s: %d bytes: %w", n, u.key, len(p), backend.ErrTooLarge)
	}
	if err := ctx.Err(); err != nil {
		return wrap(u.op("part", n), u.key, err)
	}
	ctx, cancel := reluctant(ctx)
	defer cancel()
	sum := crc32.Checksum(p, castagnoli)
	if _, err := u.store.send(ctx, u.store.handle(u.name(n)), plainAttrs(), known(p, sum)); err != nil {
		return wrap(u.op("part", n), u.key, err)
	}
	return u.keep(ctx, n, part{size: int64(len(p)), sum: sum, checked: true})
}

// CopyPart implements backend.Upload. A whole object is copied inside the store. Of a part of one Cloud Storage makes no
// copy; those bytes are streamed through this process, without being kept in memory.
func (u *Upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	if err := errors.Join(u.check(n), checkKey(src)); err != nil {
		return err
	}
	if length > caps.MaxCopyPart || length < 1 {
		return fmt.Errorf("gcs copy part %d of %s: %d bytes: %w", n, u.key, length, backend.ErrTooLarge)
	}
	op := u.op("copy part", n)
	from, err := u.store.source(ctx, op, src, opts.SrcETag)
	if err != nil {
		return err
	}
	if off < 0 || off > from.Size-length {
		return fmt.Errorf("gcs %s %s: %d bytes at %d of %d: %w", op, u.key, length, off, from.Size, backend.ErrRange)
	}
	var a *storage.ObjectAttrs
	if length == from.Size {
		a, err = u.store.rewrite(ctx, u.name(n), from, plainAttrs(), backend.Condition{})
	} else {
		version := strconv.FormatInt(from.Generation, 10)
		a, err = u.store.send(ctx, u.store.handle(u.name(n)), plainAttrs(), content{size: length, open: func() (io.ReadCloser, error) {
			r, _, err := u.store.open(ctx, src, backend.OpenOptions{Offset: off, Length: length, ETag: version})
			return r, err
		}})
	}
	if err != nil {
		return wrap(op, u.key, err)
	}
	return u.keep(ctx, n, part{size: a.Size, sum: a.CRC32C, checked: true})
}

// keep notes a part that the store has got, unless somebody has aborted the upload before: an abort ends the record first and then
// deletes what it finds, so that either it finds this part or this finds the end.
func (u *Upload) keep(ctx context.Context, n int, p part) error {
	a, err := u.store.handle(u.recorded()).Attrs(ctx)
	if errors.Is(err, storage.ErrObjectNotExist) || err == nil && a.Size == 0 {
		return errors.Join(u.over(u.op("part", n)), u.remove(ctx, u.name(n)))
	}
	if err != nil {
		return wrap(u.op("part", n), u.key, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
	return nil
}

// Abort implements backend.Upload: it deletes the parts until none is left.
func (u *Upload) Abort(ctx context.Context) error {
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
