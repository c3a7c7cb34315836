package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"cloud.google.com/go/storage"
	"golang.org/x/sync/errgroup"

	"sluice/backend"
)

// CopyPart implements backend.Upload. A whole object is copied inside the store. Of a part of one Cloud Storage makes no
// copy; those bytes are streamed through this process, without being kept in memory.
func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
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
		a, err = u.relay(ctx, n, from, off, length)
	}
	if err != nil {
		return u.store.wrap(ctx, op, u.key, err)
	}
	return u.keep(ctx, n, part{size: a.Size, sum: a.CRC32C, checked: true})
}

// copySlice is the length of the ranges in which a larger one is copied: what fails in the middle is not repeated from the start.
const copySlice = 256 << 20

// relay makes part n of a range, in slices that one compose can join, several at once.
func (u *upload) relay(ctx context.Context, n int, from *storage.ObjectAttrs, off, length int64) (*storage.ObjectAttrs, error) {
	slice := max(u.store.slice, (length+fanIn-1)/fanIn)
	count := (length + slice - 1) / slice
	if count == 1 {
		return u.relaySlice(ctx, u.name(n), from, off, length)
	}
	names, sums := make([]string, count), make([]part, count)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(caps.PartConcurrency)
	for i := range count {
		names[i], sums[i].size = fmt.Sprintf("%s-slice-%d", u.name(n), i), min(slice, length-i*slice)
		g.Go(func() error {
			a, err := u.relaySlice(gctx, names[i], from, off+i*slice, sums[i].size)
			if err == nil {
				sums[i].sum = a.CRC32C
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	whole := part{checked: true}
	for _, p := range sums {
		whole.sum, whole.size = combine(whole.sum, p.sum, p.size), whole.size+p.size
	}
	w := watch{kmsKey: u.store.cfg.KMSKey}
	a, err := u.store.compose(watched(ctx, &w), u.store.handle(u.name(n)), names, plainAttrs(), whole)
	if err != nil && w.tries > 1 && errors.Is(classify(err), backend.ErrNotExist) { // the slices went with a lost answer
		return u.store.made(ctx, u.name(n), whole.size, whole.sum, err)
	}
	return a, err
}

func (u *upload) relaySlice(ctx context.Context, name string, from *storage.ObjectAttrs, off, length int64) (*storage.ObjectAttrs, error) {
	version := strconv.FormatInt(from.Generation, 10)
	return u.store.send(ctx, u.store.handle(name), plainAttrs(), content{size: length, open: func() (io.ReadCloser, error) {
		r, _, err := u.store.open(ctx, from.Name, backend.OpenOptions{Offset: off, Length: length, ETag: version})
		return r, err
	}})
}
