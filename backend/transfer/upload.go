package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"sluice/backend"
)

// UploadOptions belong to Upload and Append.
type UploadOptions struct {
	backend.PutOptions
	Size int64 // expected bytes of the reader, 0 if unknown: parts are made large enough for it
}

// Upload stores what r delivers until io.EOF as the object at key. Any other error of r or of the store, and the end of
// ctx before the commit has begun, leave the object that was there before and nothing else. r is read by the caller's
// goroutine alone, first when there is memory for it, and never after the return; the end of ctx does not interrupt a
// Read that blocks.
//
// ErrUnavailable where no buffer comes free in time, ErrTooLarge where the store cannot hold the object.
func (e *Engine) Upload(ctx context.Context, store backend.Store, key string, r io.Reader, opts UploadOptions) (backend.Object, error) {
	return e.upload(ctx, &upload{store: store, key: key, r: r, opts: opts})
}

// Append replaces the object base from offset on (at most base.Size) with what r delivers: at the end of base, that
// appends. The bytes before offset are copied inside the store where it can, and read and sent again where it cannot or where they are fewer
// than a part. base must describe the version that is meant; if the object is another one by now, Append fails
// with ErrChanged. opts.If is ignored. Everything else is as with Upload.
func (e *Engine) Append(ctx context.Context, store backend.Store, base backend.Object, offset int64, r io.Reader, opts UploadOptions) (backend.Object, error) {
	if offset < 0 || offset > base.Size {
		return backend.Object{}, fmt.Errorf("append to %s at %d of %d: %w", base.Key, offset, base.Size, backend.ErrRange)
	}
	opts.If = backend.Condition{ETag: base.ETag}
	u := &upload{store: store, key: base.Key, r: r, opts: opts, base: &base, head: offset}
	caps := store.Caps()
	n := 0
	if caps.CopyPart {
		n = cuts(caps, offset, caps.MaxParts/2)
	}
	switch {
	case n > 0:
		u.spans = spread(nil, base, offset, n)
	case offset > 0:
		body, _, err := e.Open(ctx, store, base.Key, OpenOptions{Length: offset, ETag: base.ETag})
		if err != nil {
			return backend.Object{}, fmt.Errorf("append to %s: %w", base.Key, err)
		}
		defer body.Close()
		u.head, u.r = 0, io.MultiReader(body, r)
		u.opts.Size += offset
	}
	return e.upload(ctx, u)
}

// upload is one file on its way into a store.
type upload struct {
	*Engine
	store backend.Store
	caps  backend.Caps
	key   string
	r     io.Reader
	opts  UploadOptions
	base  *backend.Object // what is appended to
	head  int64           // bytes that the spans copy to the beginning of the file
	spans []span

	ctx    context.Context // ends with the caller's, and with the first error of a part
	cancel context.CancelCauseFunc
	slots  chan struct{} // one per part under way

	main     *stream   // the upload of the file itself; nil until it has begun
	segments []*stream // the last one may be growing
	parts    int       // read from r so far
	total    int64     // bytes of the file so far, head included
	quick    bool      // the last part filled within a second
	peeked   []byte    // read from r beyond the first part
	ended    bool      // r has returned io.EOF
}

// stream is a sequence of parts that becomes one object: the file or a segment.
type stream struct {
	key    string
	up     backend.Upload
	parts  int
	size   int64
	object *backend.Object // of a segment that is complete
	wg     sync.WaitGroup
}

func (e *Engine) upload(ctx context.Context, u *upload) (backend.Object, error) {
	e.uploads.Add(1)
	defer e.uploads.Add(-1)
	u.Engine, u.caps, u.total = e, u.store.Caps(), u.head
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	defer u.cancel(nil)
	u.slots = make(chan struct{}, max(1, min(e.cfg.Parallel, u.caps.PartConcurrency)))
	if max(u.head+u.opts.Size, u.head) > u.caps.MaxObject {
		return backend.Object{}, fmt.Errorf("upload %s: %d bytes: %w", u.key, u.head+u.opts.Size, backend.ErrTooLarge)
	}
	obj, err := u.run(ctx)
	if err != nil {
		u.cancel(err)
	}
	if dropped := u.drop(ctx, err != nil); err != nil && dropped != nil {
		err = fmt.Errorf("%w (and the clean-up failed: %s)", err, dropped.Error())
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("upload %s: %w", u.key, err)
	}
	return obj, nil
}

// run reads the file part by part. It leaves the clean-up to its caller.
func (u *upload) run(ctx context.Context) (backend.Object, error) {
	for {
		l, eof, err := u.fill()
		if err != nil {
			return backend.Object{}, err
		}
		n := int64(len(l.p))
		u.total += n
		switch {
		case u.total > u.caps.MaxObject:
			err = backend.ErrTooLarge
		case eof && u.parts == 0 && u.head == 0 && n <= u.caps.MaxPut:
			defer l.free()
			return u.put(ctx, l.p)
		case eof && u.parts == 0 && n == 0 && u.base != nil && u.head == u.base.Size:
			l.free()
			return *u.base, nil // nothing was appended
		case n > 0:
			err = u.ship(l)
			l = nil
		}
		if l != nil {
			l.free()
		}
		if err != nil {
			return backend.Object{}, err
		}
		u.parts++
		if eof {
			return u.finish(ctx)
		}
	}
}

func (u *upload) put(ctx context.Context, p []byte) (backend.Object, error) {
	c, cancel, err := settle(ctx)
	if err != nil {
		return backend.Object{}, err
	}
	defer cancel()
	obj, err := u.store.Put(c, u.key, p, u.opts.PutOptions)
	if err == nil && obj.Size != u.total {
		err = sizeError(obj.Size, u.total)
	}
	return obj, err
}

// ship gives a part to the stream whose turn it is. It waits for a free slot, and takes over the lease.
func (u *upload) ship(l *lease) error {
	s, err := u.stream(int64(len(l.p)))
	if err != nil {
		l.free()
		return err
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
		l.free()
		return context.Cause(u.ctx)
	}
	s.parts++
	s.size += int64(len(l.p))
	n := s.parts
	s.wg.Go(func() {
		if err := s.up.WritePart(u.ctx, n, l.p); err != nil {
			u.cancel(err)
		}
		l.free()
		<-u.slots
	})
	return nil
}

// finish waits for the parts, joins the segments and commits.
func (u *upload) finish(ctx context.Context) (backend.Object, error) {
	if len(u.segments) > 0 {
		if err := u.seal(); err != nil {
			return backend.Object{}, err
		}
	}
	if err := u.begin(); err != nil {
		return backend.Object{}, err
	}
	u.main.wg.Wait()
	if err := context.Cause(u.ctx); err != nil { //nolint:contextcheck // of the parts, made from that of Upload
		return backend.Object{}, err
	}
	for i := range u.segments {
		if err := u.join(i); err != nil {
			return backend.Object{}, err
		}
	}
	c, cancel, err := settle(ctx)
	if err != nil {
		return backend.Object{}, err
	}
	defer cancel()
	obj, err := u.main.up.Commit(c, u.main.parts)
	if err == nil && obj.Size != u.total {
		err = sizeError(obj.Size, u.total)
	}
	return obj, err
}

// drop waits for everything that is under way and removes what must not stay: the uploads if the file failed, and the
// segments in any case. It outlives ctx.
func (u *upload) drop(ctx context.Context, failed bool) error {
	streams := u.segments
	if u.main != nil {
		streams = append(streams, u.main)
	}
	if len(streams) == 0 {
		return nil
	}
	for _, s := range streams {
		s.wg.Wait()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	var errs []error
	for _, s := range streams {
		if failed {
			errs = append(errs, retry(ctx, s.up.Abort))
		}
		if s != u.main {
			errs = append(errs, retry(ctx, func(ctx context.Context) error {
				return u.store.Delete(ctx, s.key, backend.DeleteOptions{})
			}))
		}
	}
	return errors.Join(errs...)
}
