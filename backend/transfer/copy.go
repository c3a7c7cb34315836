package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/backend"
)

// copySlice is the length of the ranges in which a large object is copied, where part numbers allow: short enough for
// several to run at once.
const copySlice = 512 << 20

// Copy makes dst a copy of the version src of an object in the same store, of any size and without the bytes passing
// through this process, if the store can. ErrChanged where src is another version by now or opts.If does not hold.
// opts.SrcETag and opts.Src are ignored. The copy is complete, or there is none.
func (e *Engine) Copy(ctx context.Context, store backend.Store, dst string, src backend.Object, opts backend.CopyOptions) (backend.Object, error) {
	obj, err := e.copy(ctx, store, dst, src, opts)
	if err == nil && obj.Size != src.Size {
		err = sizeError(obj.Size, src.Size)
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("copy %s to %s: %w", src.Key, dst, err)
	}
	return obj, nil
}

func (e *Engine) copy(ctx context.Context, store backend.Store, dst string, src backend.Object, opts backend.CopyOptions) (backend.Object, error) {
	caps := store.Caps()
	if edit := dst == src.Key && opts.Replace != nil; edit || src.Size <= caps.MaxCopy { // new attributes may cost no copy at all
		c, cancel, err := settle(ctx)
		if err != nil {
			return backend.Object{}, err
		}
		defer cancel()
		opts.SrcETag, opts.Src = src.ETag, &src
		obj, err := store.Copy(c, dst, src.Key, opts)
		if src.Size <= caps.MaxCopy || !errors.Is(err, backend.ErrTooLarge) {
			return obj, err
		}
	}
	put := backend.PutOptions{If: opts.If}
	if opts.Replace != nil {
		put.Attributes = *opts.Replace
	} else {
		var err error
		if put.Attributes, err = attributes(ctx, store, src); err != nil {
			return backend.Object{}, err
		}
	}
	if opts.Replace == nil && opts.StorageClass != "" {
		put.StorageClass = opts.StorageClass
	}
	n := cuts(caps, src.Size, caps.MaxParts)
	if !caps.CopyPart || n == 0 {
		return e.relay(ctx, store, dst, store, src, put)
	}
	return e.assemble(ctx, store, dst, spread(nil, src, src.Size, n), put)
}

// Move makes the version src of an object the object dst of its store, in one step. ErrChanged where src is another version by now
// or opts.If does not hold; ErrUnsupported where the store cannot do it. opts.SrcETag is ignored.
func (e *Engine) Move(ctx context.Context, store backend.Store, dst string, src backend.Object, opts backend.MoveOptions) (backend.Object, error) {
	if !store.Caps().Move {
		return backend.Object{}, fmt.Errorf("move %s to %s: %w", src.Key, dst, backend.ErrUnsupported)
	}
	c, cancel, err := settle(ctx)
	if err != nil {
		return backend.Object{}, fmt.Errorf("move %s to %s: %w", src.Key, dst, err)
	}
	defer cancel()
	opts.SrcETag = src.ETag
	obj, err := store.Move(c, dst, src.Key, opts)
	if err == nil && obj.Size != src.Size {
		err = sizeError(obj.Size, src.Size)
	}
	if err != nil {
		return backend.Object{}, fmt.Errorf("move %s to %s: %w", src.Key, dst, err)
	}
	return obj, nil
}

// assemble makes an object of spans inside its store.
func (e *Engine) assemble(ctx context.Context, store backend.Store, dst string, spans []span, put backend.PutOptions) (backend.Object, error) {
	up, err := store.NewUpload(ctx, dst, put)
	if err != nil {
		return backend.Object{}, err
	}
	obj, err := func() (backend.Object, error) {
		if err := e.copySpans(ctx, store.Caps(), up, 0, spans); err != nil {
			return backend.Object{}, err
		}
		c, cancel, err := settle(ctx)
		if err != nil {
			return backend.Object{}, err
		}
		defer cancel()
		return up.Commit(c, len(spans))
	}()
	if err != nil {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
		defer cancel()
		if dropped := retry(c, up.Abort); dropped != nil {
			err = fmt.Errorf("%w (and the clean-up failed: %s)", err, dropped.Error())
		}
	}
	return obj, err
}

// Relay copies the version src of an object in one store to the key dst of another, through this process. Attributes go
// along, but for the storage class: the name of one store's class means nothing to another. opts.SrcETag and opts.Replace are
// ignored.
func (e *Engine) Relay(ctx context.Context, to backend.Store, dst string, from backend.Store, src backend.Object, opts backend.CopyOptions) (backend.Object, error) {
	a, err := attributes(ctx, from, src)
	if err != nil {
		return backend.Object{}, fmt.Errorf("copy %s to %s: %w", src.Key, dst, err)
	}
	a.StorageClass = opts.StorageClass
	return e.relay(ctx, to, dst, from, src, backend.PutOptions{Attributes: a, If: opts.If})
}

func (e *Engine) relay(ctx context.Context, to backend.Store, dst string, from backend.Store, src backend.Object, put backend.PutOptions) (backend.Object, error) {
	body, _, err := e.Open(ctx, from, src.Key, OpenOptions{ETag: src.ETag})
	if err != nil {
		return backend.Object{}, err
	}
	defer body.Close()
	return e.Upload(ctx, to, dst, body, UploadOptions{PutOptions: put, Size: src.Size})
}

// attributes returns what a writer must say to make an object like src.
func attributes(ctx context.Context, store backend.Store, src backend.Object) (backend.Attributes, error) {
	if src.Partial {
		full, err := store.Stat(ctx, src.Key)
		if err != nil {
			return backend.Attributes{}, err
		}
		if full.ETag != src.ETag {
			return backend.Attributes{}, fmt.Errorf("stat %s: %w", src.Key, backend.ErrChanged)
		}
		src = full
	}
	return src.Attributes(), nil
}

// pieces is how many ranges of at most limit bytes cover size bytes.
func pieces(size, limit int64) int64 {
	return (size + limit - 1) / limit
}

// cuts is how many part numbers, free at most, a server-side copy of size bytes takes. 0: it cannot be done.
func cuts(caps backend.Caps, size int64, free int) int {
	n := pieces(size, max(1, min(copySlice, caps.MaxCopyPart)))
	if n > int64(free) || caps.CopyWhole {
		n = pieces(size, max(1, caps.MaxCopyPart))
	}
	if n == 0 || n > int64(free) || size/n < caps.MinPart {
		return 0
	}
	return int(n)
}

// span is a range of an object that becomes one part inside the store.
type span struct {
	src         backend.Object
	off, length int64
}

// spread appends n spans of equal length that cover the first size bytes of src.
func spread(spans []span, src backend.Object, size int64, n int) []span {
	length, longer := size/int64(n), size%int64(n) // the first ones are one byte longer
	var off int64
	for i := range n {
		this := length
		if int64(i) < longer {
			this++
		}
		spans = append(spans, span{src, off, this})
		off += this
	}
	return spans
}

// copySpans makes the parts behind part number after, several at once. It returns when all of them have ended.
func (e *Engine) copySpans(ctx context.Context, caps backend.Caps, up backend.Upload, after int, spans []span) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	running := make(chan struct{}, max(1, min(e.cfg.Parallel, caps.PartConcurrency)))
	for i, s := range spans {
		running <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := guard(func() error {
				return up.CopyPart(ctx, after+i+1, s.src.Key, s.off, s.length, backend.CopyPartOptions{SrcETag: s.src.ETag})
			}); err != nil {
				cancel(err)
			}
			<-running
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
