package transfer

import (
	"context"
	"fmt"
	"io"

	"sluice/backend"
)

// Source is a version of an object that Concat reads.
type Source struct {
	backend.Object
	Store backend.Store // nil: the store of the destination
}

// in returns the store of a source.
func (s Source) in(dst backend.Store) backend.Store {
	if s.Store == nil {
		return dst
	}
	return s.Store
}

// Concat makes the sources, one behind the other, the object dst, which may be one of them. Those at the beginning that lie
// in the same store and are no smaller than a part are copied inside it, if it can do that; from the first one on that is
// not so, the rest goes through this process. ErrChanged where a source is another version by now or opts.If does not hold. The object is complete,
// or what was there before has stayed.
func (e *Engine) Concat(ctx context.Context, store backend.Store, dst string, sources []Source, opts backend.PutOptions) (backend.Object, error) {
	obj, err := e.concat(ctx, store, dst, sources, opts)
	if err != nil {
		return backend.Object{}, fmt.Errorf("join %d objects to %s: %w", len(sources), dst, err)
	}
	return obj, nil
}

func (e *Engine) concat(ctx context.Context, store backend.Store, dst string, sources []Source, opts backend.PutOptions) (backend.Object, error) {
	caps := store.Caps()
	var total int64
	for _, s := range sources {
		if total += s.Size; s.Size > caps.MaxObject || total > caps.MaxObject {
			return backend.Object{}, backend.ErrTooLarge
		}
		if s.Size > 0 {
			continue
		}
		body, _, err := e.Open(ctx, s.in(store), s.Key, OpenOptions{ETag: s.ETag}) // nothing is copied that would notice another version
		if err != nil {
			return backend.Object{}, err
		}
		body.Close()
	}
	spans, done := inside(caps, sources)
	if len(spans) > 0 && done == len(sources) {
		obj, err := e.assemble(ctx, store, dst, spans, opts)
		if err == nil && obj.Size != total {
			err = sizeError(obj.Size, total)
		}
		return obj, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rest := &chain{engine: e, ctx: ctx, store: store, sources: sources[done:]}
	defer rest.close()
	u := &upload{store: store, key: dst, r: rest, opts: UploadOptions{PutOptions: opts}, spans: spans}
	for _, s := range spans {
		u.head += s.length
	}
	u.opts.Size = total - u.head
	return e.upload(ctx, u)
}

// inside plans what a store can join by itself: the spans of the first sources, and how many sources these are.
func inside(caps backend.Caps, sources []Source) (spans []span, done int) {
	last := len(sources) - 1
	for last >= 0 && sources[last].Size == 0 {
		last--
	}
	for i, s := range sources {
		if s.Size > 0 {
			n := 0
			if caps.CopyPart && s.Store == nil {
				n = cuts(caps, s.Size, caps.MaxParts/2-len(spans))
			}
			if n == 0 && i == last && caps.CopyPart && s.Store == nil && s.Size <= caps.MaxCopyPart && len(spans) < caps.MaxParts {
				n = 1 // the last part may be short
			}
			if n == 0 {
				return spans, i
			}
			spans = spread(spans, s.Object, s.Size, n)
		}
	}
	return spans, len(sources)
}

// chain reads sources one behind the other, one open at a time.
type chain struct {
	engine  *Engine
	ctx     context.Context // of the whole read
	store   backend.Store
	sources []Source // the first one is open if body is
	body    io.ReadCloser
	left    int64 // bytes of body
}

// Read implements io.Reader.
func (c *chain) Read(p []byte) (int, error) {
	for {
		if len(c.sources) == 0 {
			return 0, io.EOF
		}
		s := c.sources[0]
		if c.body == nil {
			if s.Size == 0 {
				c.sources = c.sources[1:]
				continue
			}
			body, _, err := c.engine.Open(c.ctx, s.in(c.store), s.Key, OpenOptions{ETag: s.ETag})
			if err != nil {
				return 0, err
			}
			c.body, c.left = body, s.Size
		}
		n, err := c.body.Read(p)
		c.left -= int64(n)
		if err != io.EOF {
			return n, err
		}
		c.close()
		if c.left != 0 {
			return n, sizeError(s.Size-c.left, s.Size)
		}
		c.sources = c.sources[1:]
		if n > 0 {
			return n, nil
		}
	}
}

func (c *chain) close() {
	if c.body != nil {
		c.body.Close()
		c.body = nil
	}
}
