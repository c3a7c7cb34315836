package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/minio/crc64nvme"

	"sluice/backend"
)

// UploadOptions belong to Upload and Append.
type UploadOptions struct {
	backend.PutOptions
	Size   int64       // expected bytes of the reader, 0 if unknown: parts are made large enough for it
	Resume *Resumption // nil: an upload that fails leaves nothing
}

// Upload stores what r delivers until io.EOF as the object at key. Any other error of r or of the store, and the end of
// ctx before the commit has begun, leave the object that was there before and nothing else. r is read by the caller's
// goroutine alone, first when there is memory for it, and never after the return; the end of ctx does not interrupt a
// Read that blocks. With opts.Resume, what the store has by then may stay for Engine.Resume.
//
// ErrFull where no buffer comes free in time, ErrTooLarge where the store cannot hold the object.
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
	u := &upload{store: store, key: base.Key, r: r, opts: opts, base: &base, head: offset, from: offset}
	caps := store.Caps()
	n := 0
	compare := caps.CopyWhole && offset < base.Size && offset <= longHead // the store would read a range, and compare it with nothing
	if caps.CopyPart && !compare {
		n = cuts(caps, offset, caps.MaxParts/2)
	}
	switch {
	case n > 0:
		u.spans = spread(nil, base, offset, n)
	case offset > 0:
		body, err := e.openHead(ctx, store, base, offset)
		if err != nil {
			return backend.Object{}, fmt.Errorf("append to %s: %w", base.Key, err)
		}
		defer body.Close()
		u.head, u.r = 0, io.MultiReader(&beginning{body, offset}, r)
		u.opts.Size += offset
	}
	return e.upload(ctx, u)
}

// longHead is the size up to which more is read than is sent again, so that it can be compared.
const longHead = 16 << 20

// openHead opens the first n bytes of an object, or more of it. What has been damaged on the way is an error before the end: up to longHead the
// whole is read, which has a checksum in the store; the beginning of a larger object is read twice.
func (e *Engine) openHead(ctx context.Context, store backend.Store, base backend.Object, n int64) (io.ReadCloser, error) {
	opts := OpenOptions{Length: n, ETag: base.ETag}
	if base.Size <= longHead || n == base.Size {
		opts.Length = 0
		body, _, err := e.Open(ctx, store, base.Key, opts)
		return body, err
	}
	first, _, err := e.Open(ctx, store, base.Key, opts)
	if err != nil {
		return nil, err
	}
	defer first.Close()
	sum := crc64nvme.New()
	if _, err := io.Copy(sum, first); err != nil {
		return nil, err
	}
	opts.sum = &verifier{crc64nvme.New(), "CRC64NVME of what is read again", sum.Sum(nil)}
	body, _, err := e.Open(ctx, store, base.Key, opts)
	return body, err
}

// beginning delivers n bytes of r and comes to its end when r has come to its own.
type beginning struct {
	r io.Reader
	n int64
}

func (b *beginning) Read(p []byte) (int, error) {
	if b.n == 0 {
		if _, err := io.Copy(io.Discard, b.r); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.n)])
	if b.n -= int64(n); err == io.EOF && b.n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
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
	from  int64   // where in the file the client's bytes begin
	keep  *keeper // nil: the upload cannot be resumed

	ctx    context.Context // ends with the caller's, and with the first error of a part
	cancel context.CancelCauseFunc
	work   context.Context // of the parts: where the upload can be resumed, it outlives ctx
	stop   context.CancelCauseFunc
	slots  chan struct{} // one per part under way

	main     *stream        // the upload of the file itself; nil until it has begun
	segments []*stream      // the last one may be growing
	parts    int            // read from r so far
	total    int64          // bytes of the file so far, head included
	joined   bool           // the Budget has let it in
	quick    bool           // the last part came at quickRate
	peeked   []byte         // read from r beyond the first part
	ended    bool           // r has returned io.EOF
	failed   bool           // r has returned another error
	rest     *lease         // what was read and is in no part, all through a failure
	left     []streamRecord // of an upload that is resumed: what lies behind a gap

	mu      sync.Mutex
	streams []*stream // main and segments, in the order of the file
	closed  bool      // nothing more may begin
}

// stream is a sequence of parts that becomes one object: the file or a segment.
type stream struct {
	key    string
	up     backend.Upload
	parts  int // numbers used
	size   int64
	object *backend.Object // of a segment that is complete
	wg     sync.WaitGroup

	// Of the parts that hold bytes of the file in their order, guarded by the upload's mu.
	sizes   []int64
	written []bool
	stale   []int // numbers above those, of parts that do not belong to the file
}

func (e *Engine) upload(ctx context.Context, u *upload) (backend.Object, error) {
	e.uploads.Add(1)
	defer e.uploads.Add(-1)
	u.Engine, u.caps, u.total = e, u.store.Caps(), u.total+u.head
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	defer u.cancel(nil)
	u.work, u.stop = u.ctx, u.cancel
	if u.opts.Resume != nil && u.caps.Conditional {
		u.work, u.stop = context.WithCancelCause(context.WithoutCancel(ctx))
		defer u.stop(nil)
		resumed := u.keep != nil
		if !resumed {
			u.attach()
		}
		defer u.keep.end()
		u.keep.ctx, u.keep.cancel = context.WithCancel(context.WithoutCancel(ctx))
		defer u.keep.cancel()
		if resumed {
			u.keep.begin()
		}
	}
	u.slots = make(chan struct{}, max(1, min(e.cfg.Parallel, u.caps.PartConcurrency)))
	defer u.free() // even if r panics
	obj, err := u.run(ctx)
	if err != nil && u.keep != nil && u.keep.cut(ctx, err) {
		return backend.Object{}, fmt.Errorf("upload %s: %w", u.key, err)
	}
	if err != nil {
		u.cancel(err)
		u.stop(err)
	}
	dropped := u.drop(ctx, err != nil)
	if u.keep != nil {
		dropped = errors.Join(dropped, u.keep.forget(ctx))
	}
	if err != nil && dropped != nil {
		err = fmt.Errorf("%w (and the clean-up failed: %s)", err, dropped.Error())
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("upload %s: %w", u.key, err)
	}
	return obj, nil
}

// free gives back what the upload has of the Budget.
func (u *upload) free() {
	if u.rest != nil {
		u.rest.free()
		u.rest = nil
	}
	if u.joined {
		u.budget.leave()
		u.joined = false
	}
}

// run reads the file part by part. It leaves the clean-up to its caller.
func (u *upload) run(ctx context.Context) (backend.Object, error) {
	if max(u.head+u.opts.Size, u.head) > u.caps.MaxObject {
		return backend.Object{}, fmt.Errorf("%d bytes: %w", u.head+u.opts.Size, backend.ErrTooLarge)
	}
	for {
		eof, err := u.fill() //nolint:contextcheck // what waits for memory waits under u.ctx
		if err != nil {
			return backend.Object{}, err
		}
		n := int64(len(u.rest.p))
		u.total += n
		switch {
		case u.total > u.caps.MaxObject:
			err = backend.ErrTooLarge
		case eof && u.parts == 0 && u.head == 0 && n <= u.caps.MaxPut:
			return u.put(ctx, u.rest.p)
		case eof && u.parts == 0 && n == 0 && u.base != nil && u.head == u.base.Size:
			return *u.base, nil // nothing was appended
		case n > 0:
			err = u.ship(u.rest)
		default:
			u.rest.free()
		}
		if err != nil {
			return backend.Object{}, err
		}
		u.rest = nil
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

// ship gives a part to the stream whose turn it is. It waits for a free slot. Without an error it takes over the lease.
func (u *upload) ship(l *lease) error {
	if u.keep != nil {
		if err := u.keep.hold(); err != nil {
			return err
		}
	}
	s, err := u.stream(int64(len(l.p)))
	if err != nil {
		return err
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
	n := u.number(s, int64(len(l.p)))
	return u.launch(s, func() {
		if err := guard(func() error { return s.up.WritePart(u.work, n, l.p) }); err != nil {
			u.cancel(err)
		} else {
			u.wrote(s, n)
		}
		l.free()
		<-u.slots
	})
}

// number gives the next number of a stream to a part of that size.
func (u *upload) number(s *stream, size int64) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.parts++
	s.size += size
	s.sizes = append(s.sizes, size)
	s.written = append(s.written, false)
	return s.parts
}

// write writes the next part of a stream at once.
func (u *upload) write(ctx context.Context, s *stream, p []byte) error {
	n := u.number(s, int64(len(p)))
	err := s.up.WritePart(ctx, n, p)
	if err == nil {
		u.wrote(s, n)
	}
	return err
}

// wrote notes that the store has part n.
func (u *upload) wrote(s *stream, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.written[n-1] = true
}

// finish waits for the parts, joins the segments and commits.
func (u *upload) finish(ctx context.Context) (backend.Object, error) {
	if u.keep != nil {
		if err := u.keep.completing(); err != nil {
			return backend.Object{}, err
		}
	}
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
	if u.keep != nil {
		if err := u.keep.hold(); err != nil {
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
