package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/backend"
)

// Partial is an upload that was cut off and can be resumed.
type Partial struct {
	Name    string            // key that the user asked for
	Key     string            // key that the file gets
	Base    string            // version of the object at Name when the upload began; if there is another by now, the upload is void
	If      backend.Condition // of the commit; with an ETag, something is put behind that version
	Size    int64             // bytes from the start that the store has
	Updated time.Time         // when it was cut off, by the store's clock
	record  string            // key
}

// Partial returns the upload of a user to a name that can be resumed, nil if there is none. One that is receiving bytes as
// far as is known is none. It costs a listing, which a cache can answer, and more only where there is something.
func (e *Engine) Partial(ctx context.Context, store backend.Store, user, name string) (*Partial, error) {
	key := e.recordKey(user, name)
	e.settled(ctx, placeOf(store, key))
	for row, err := range store.List(ctx, e.userPrefix(user), backend.ListOptions{}) {
		if errors.Is(err, backend.ErrPermission) {
			return nil, nil // a bucket in which this is not Sluice's to use
		}
		if err != nil {
			return nil, fmt.Errorf("uploads that were cut off: %w", err)
		}
		if row.Key == key {
			return e.partial(ctx, store, row.Object)
		}
	}
	return nil, nil
}

// Partials returns all that Partial would return for a user, in no order.
func (e *Engine) Partials(ctx context.Context, store backend.Store, user string) ([]Partial, error) {
	prefix := e.userPrefix(user)
	var ending []place
	e.mu.Lock()
	for p := range e.running {
		if strings.HasPrefix(p.key, prefix) {
			ending = append(ending, p)
		}
	}
	e.mu.Unlock()
	for _, p := range ending {
		e.settled(ctx, p)
	}
	var all []Partial
	for row, err := range store.List(ctx, prefix, backend.ListOptions{}) {
		if errors.Is(err, backend.ErrPermission) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("uploads that were cut off: %w", err)
		}
		p, err := e.partial(ctx, store, row.Object)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, *p)
		}
	}
	return all, nil
}

// partial reads the record that a row shows.
func (e *Engine) partial(ctx context.Context, store backend.Store, row backend.Object) (*Partial, error) {
	rec, obj, err := e.load(ctx, store, row.Key, row.ETag)
	if errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist) {
		rec, obj, err = e.load(ctx, store, row.Key, "")
	}
	switch {
	case errors.Is(err, backend.ErrNotExist), errors.Is(err, errNoRecord), err == nil && time.Now().After(rec.Expires):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("upload that was cut off: %w", err)
	}
	size, err := e.measure(ctx, store, rec, obj)
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrGone) || err == nil && size <= rec.Head {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("upload that was cut off: %w", err)
	}
	return &Partial{Name: rec.Name, Key: rec.Key, Base: rec.Base, If: rec.If, Size: size, Updated: obj.Updated, record: row.Key}, nil
}

// measure returns how many bytes the store has. ErrBusy where somebody is uploading more. A part that was on its way when its process died may come
// later: while the record stays the same, so does the size, since a client that appends sends what is behind the size that it was told.
func (e *Engine) measure(ctx context.Context, store backend.Store, rec record, obj backend.Object) (int64, error) {
	p := placeOf(store, obj.Key)
	switch rec.Owner {
	case "":
		return rec.Size, nil
	case e.id:
		if k := e.owner(p); k != nil {
			if !k.idle() {
				return 0, ErrBusy
			}
			_, size, _ := k.u.durable()
			return size, nil
		}
	default:
		if s := e.observe(p, obj.ETag); s.changed && !s.dead(obj) && time.Since(obj.Updated) < Watch {
			return 0, ErrBusy
		}
	}
	if told, ok := e.records.Get(obj.Key); ok && told.object.ETag == obj.ETag && told.size != nil {
		return *told.size, nil
	}
	u := &upload{Engine: e, store: store, caps: store.Caps(), key: rec.Key}
	tail, err := u.restore(ctx, rec)
	if err != nil {
		return 0, err
	}
	size := u.total
	if tail != nil {
		size += tail.Size
	}
	e.records.Add(obj.Key, known{rec, obj, &size})
	return size, nil
}

// AtEnd as the offset of Resume means behind the Size of the Partial.
const AtEnd = -1

// Resume goes on with an upload that was cut off: r delivers the file from offset on. What of that the store has already is
// read and dropped. ErrRange where offset lies behind what the store has; ErrBusy where somebody else resumes it;
// ErrGone where there is nothing to resume, and no byte of r was read; ErrShort where r ends before that. opts.Resume says, as with Upload, what
// becomes of it if it is cut off again; the rest of opts counts as it was when the upload began, but for Size, the
// number of bytes that r is expected to deliver.
//
// It takes an upload over from a process that is dead, or from a session of this process that has waited for bytes for ten seconds. That a
// process is dead shows after some seconds, for which Resume may have to wait.
func (e *Engine) Resume(ctx context.Context, store backend.Store, p Partial, offset int64, r io.Reader, opts UploadOptions) (backend.Object, error) {
	rec, obj, err := e.claim(ctx, store, p.record, true)
	if err != nil {
		return backend.Object{}, fmt.Errorf("resume %s: %w", p.Key, err)
	}
	u := &upload{
		Engine: e, store: store, caps: store.Caps(), key: rec.Key, from: rec.Head,
		opts: UploadOptions{PutOptions: backend.PutOptions{Attributes: rec.Attributes, If: rec.If}, Resume: opts.Resume},
	}
	tail, err := u.restore(ctx, rec)
	if err == nil {
		err = u.clear(ctx)
	}
	if errors.Is(err, ErrGone) {
		err = errors.Join(err, e.remove(ctx, store, rec, obj))
		return backend.Object{}, fmt.Errorf("resume %s: %w", p.Key, err)
	}
	size := u.total
	if tail != nil {
		size += tail.Size
	}
	if offset == AtEnd {
		offset = p.Size
	}
	if err == nil && (offset < 0 || offset > size) {
		err = fmt.Errorf("at %d of %d: %w", offset, size, backend.ErrRange)
	}
	if err != nil {
		if errors.Is(err, backend.ErrRange) {
			rec.Size = size // the store may have lost something
		}
		return backend.Object{}, fmt.Errorf("resume %s: %w", p.Key, errors.Join(err, e.release(ctx, store, p.record, rec, obj)))
	}
	u.opts.Size = max(rec.Announced, 0)
	if opts.Size > 0 {
		u.opts.Size = max(u.opts.Size, offset+opts.Size)
	}
	u.r = &skipper{r: r, n: size - offset}
	if tail != nil {
		body := &tailReader{ctx: ctx, store: store, tail: *tail}
		defer body.close()
		u.r = io.MultiReader(body, u.r)
	}
	u.claimed(rec, obj, tail)
	return e.upload(ctx, u)
}

// clear removes the streams that restore has found to lie behind a gap.
func (u *upload) clear(ctx context.Context) error {
	for _, s := range u.left {
		if err := abort(ctx, u.store, s); err != nil {
			return err
		}
		if s.Key != u.key {
			if err := u.store.Delete(ctx, s.Key, backend.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimed lets the keeper begin with a record that is there already.
func (u *upload) claimed(rec record, obj backend.Object, tail *tailRecord) {
	if u.opts.Resume == nil {
		u.opts.Resume = &Resumption{For: time.Until(rec.Expires)}
	}
	r := *u.opts.Resume
	r.User, r.Name, r.Base = rec.User, rec.Name, rec.Base
	u.opts.Resume = &r
	u.attach()
	u.keep.etag, u.keep.tail = obj.ETag, tail // saved is zero: what restore found is written before the first part
}

// ErrShort says that the client's file ends before what the store has of it, so that it is another file. It is an ErrChanged.
var ErrShort = fmt.Errorf("the file is shorter than what was kept of it: %w", backend.ErrChanged)

// skipper drops the first n bytes of r.
type skipper struct {
	r io.Reader
	n int64
}

func (s *skipper) Read(p []byte) (int, error) {
	for s.n > 0 {
		n, err := s.r.Read(p[:min(int64(len(p)), s.n)])
		s.n -= int64(n)
		if err == io.EOF && s.n > 0 {
			return 0, ErrShort
		}
		if err != nil || len(p) == 0 {
			return 0, err
		}
	}
	return s.r.Read(p)
}

// tailReader reads a tail. It is opened at the first Read. The last bytes come only if all of it fits the store's checksum: of fewer than
// there were no new tail is made.
type tailReader struct {
	ctx   context.Context // of Resume
	store backend.Store
	tail  tailRecord
	body  io.ReadCloser
	sum   *verifier // nil: there is nothing to compare with
	n     int64
}

func (t *tailReader) Read(p []byte) (int, error) {
	if t.body == nil {
		body, obj, err := t.store.Open(t.ctx, t.tail.Key, backend.OpenOptions{ETag: t.tail.ETag})
		if err != nil {
			return 0, fmt.Errorf("tail: %w", err)
		}
		t.body, t.sum = body, verify(obj)
		if obj.Size != t.tail.Size {
			return 0, fmt.Errorf("tail: %w", sizeError(obj.Size, t.tail.Size))
		}
	}
	n, err := t.body.Read(p)
	t.n += int64(n)
	if t.sum != nil {
		_, _ = t.sum.Write(p[:n])
		if t.n == t.tail.Size && n > 0 {
			if damaged := t.sum.check(); damaged != nil {
				return 0, fmt.Errorf("tail: %w", damaged)
			}
		}
	}
	if err == io.EOF && t.n != t.tail.Size {
		err = fmt.Errorf("tail: %w", sizeError(t.n, t.tail.Size))
	}
	return n, err
}

func (t *tailReader) close() {
	if t.body != nil {
		t.body.Close()
	}
}
