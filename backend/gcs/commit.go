package gcs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/sync/errgroup"

	"sluice/backend"
)

const (
	fanIn     = 32          // most objects that one compose joins
	workers   = 32          // composes or deletes at once
	maxSweeps = 5           // a part on its way at the first time may arrive behind it
	sweepTime = time.Minute // ten thousand parts take half of it
)

// Commit implements backend.Upload with objects.compose. The parts are joined by 32 into objects that nobody sees, and so on, until
// one last compose makes the object under its condition.
func (u *upload) Commit(ctx context.Context, n int) (backend.Object, error) {
	names, whole, err := u.whole(n)
	if err != nil {
		return backend.Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return backend.Object{}, u.store.wrap(ctx, "commit", u.key, err)
	}
	for level := 1; len(names) > fanIn; level++ {
		if names, err = u.join(ctx, level, names); err != nil {
			return backend.Object{}, u.store.wrap(ctx, "commit", u.key, err)
		}
	}
	w := watch{kmsKey: u.store.cfg.KMSKey}
	a, err := u.store.compose(watched(ctx, &w), under(u.store.handle(u.key), u.opts.If), names, u.store.describeAs(u.key, u.opts.Attributes), whole)
	if err != nil {
		err = u.store.wrap(ctx, "commit", u.key, err)
		// The answer may be what was damaged, and the parts are gone with what has been done.
		lost := backend.Doubtful(err, w.tries) || errors.Is(err, backend.ErrDamaged) || w.tries > 1 && errors.Is(err, backend.ErrNotExist)
		if lost && whole.checked && ctx.Err() == nil {
			a, err = u.store.made(ctx, u.key, whole.size, whole.sum, err)
		}
		if errors.Is(err, backend.ErrNotExist) { // whether that is a part or what the condition asks for
			err = backend.Reclass(err, backend.ErrChanged)
		}
		if err != nil {
			return backend.Object{}, err
		}
	}
	u.mu.Lock()
	u.done = true
	u.mu.Unlock()
	u.tidy(ctx)
	return object(a), nil
}

// tidy removes the parts of a committed upload. What it leaves, Abort tries again.
func (u *upload) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTime)
	defer cancel()
	err := u.sweep(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clean = err == nil
}

// whole returns the names of the parts, and what they make together.
func (u *upload) whole(n int) (names []string, sum part, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended || u.done:
		return nil, part{}, fmt.Errorf("gcs commit %s: the upload has ended", u.key)
	case n < 1:
		return nil, part{}, fmt.Errorf("gcs commit %s: no part was written", u.key)
	}
	sum.checked = true
	for i := 1; i <= n; i++ {
		p, ok := u.parts[i]
		if !ok {
			return nil, part{}, fmt.Errorf("gcs commit %s: part %d was not written", u.key, i)
		}
		names = append(names, u.name(i))
		sum.sum = combine(sum.sum, p.sum, p.size)
		sum.size += p.size
		sum.checked = sum.checked && p.checked
	}
	if sum.size > caps.MaxObject {
		return nil, part{}, fmt.Errorf("gcs commit %s: %d bytes: %w", u.key, sum.size, backend.ErrTooLarge)
	}
	return names, sum, nil
}

// join composes the objects by 32, several groups at once, and returns the names of the results.
func (u *upload) join(ctx context.Context, level int, names []string) ([]string, error) {
	joined := make([]string, (len(names)+fanIn-1)/fanIn)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i := range joined {
		joined[i] = u.joint(level, i)
		g.Go(func() error {
			group := names[i*fanIn : min((i+1)*fanIn, len(names))]
			w := watch{kmsKey: u.store.cfg.KMSKey}
			_, err := u.store.compose(watched(ctx, &w), u.store.handle(joined[i]), group, plainAttrs(), part{size: -1})
			return err
		})
	}
	return joined, g.Wait()
}

// compose joins objects. The store refuses to, if that does not make the checksum that is expected. The last compose, which knows
// what has to come of it, takes its sources away in the same step, so that no upload can be committed twice.
func (s *Store) compose(ctx context.Context, dst *storage.ObjectHandle, names []string, attrs storage.ObjectAttrs, want part) (*storage.ObjectAttrs, error) {
	sources := make([]*storage.ObjectHandle, len(names))
	for i, name := range names {
		sources[i] = s.bucket.Object(name) // the customer key of the target opens them
	}
	c := dst.ComposerFrom(sources...)
	c.ObjectAttrs, c.DeleteSourceObjects = attrs, want.size >= 0
	if want.checked {
		c.CRC32C, c.SendCRC32C = want.sum, true
	}
	a, err := c.Run(ctx)
	if err != nil {
		return nil, err
	}
	if want.size >= 0 && a.Size != want.size || want.checked && a.CRC32C != want.sum {
		return nil, fmt.Errorf("the store has %d bytes with CRC-32C %08x, sent were %d with %08x: %w", a.Size, a.CRC32C, want.size, want.sum, backend.ErrDamaged)
	}
	return a, nil
}

// sweep deletes everything that belongs to the upload, its record last of all.
func (u *upload) sweep(ctx context.Context) error {
	for range maxSweeps {
		names, err := u.leftovers(ctx)
		if err != nil || len(names) == 0 {
			return err
		}
		if len(names) > 1 && slices.Contains(names, u.recorded()) {
			if _, err := u.store.send(ctx, u.store.handle(u.recorded()), plainAttrs(), known(nil, 0)); err != nil {
				return u.store.wrap(ctx, "abort", u.key, err)
			}
			if names, err = u.leftovers(ctx); err != nil {
				return err
			}
		}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(workers)
		for _, name := range names {
			if name != u.recorded() {
				g.Go(func() error { return u.remove(gctx, name) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if err := u.remove(ctx, u.recorded()); err != nil {
			return err
		}
	}
	return u.store.failure("abort", u.key, backend.ErrUnavailable, errors.New("parts are left"))
}

func (u *upload) remove(ctx context.Context, name string) error {
	if err := u.store.bucket.Object(name).Delete(ctx); err != nil && !errors.Is(classify(err), backend.ErrNotExist) {
		return u.store.wrap(ctx, "abort", u.key, err)
	}
	return nil
}

// leftovers names the objects of the upload.
func (u *upload) leftovers(ctx context.Context) (names []string, err error) {
	q := &storage.Query{Prefix: u.prefix(), Projection: storage.ProjectionNoACL}
	if err := q.SetAttrSelection([]string{"Name"}); err != nil {
		return nil, u.store.wrap(ctx, "abort", u.key, err)
	}
	it := u.store.bucket.Objects(ctx, q)
	for {
		a, err := it.Next()
		if errors.Is(err, errDone) {
			return names, nil
		}
		if err != nil {
			return nil, u.store.wrap(ctx, "abort", u.key, err)
		}
		names = append(names, a.Name)
	}
}
