package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/transfer"
)

// moveParallel is how many objects of a directory are copied or deleted at once.
const moveParallel = 32

// move is the rename of one directory: copy everything, confirm it, delete the source. Its journal lies in the store from before
// the first copy until after the last delete, so that whatever is cut off in the middle can be taken back or finished.
type move struct {
	journal
	store  backend.Store
	engine *transfer.Engine
	class  string // storage class of the copies; empty: that of each source

	mu     sync.Mutex     // held while the journal is written
	object backend.Object // the journal as last written
}

// item is one object of the directory, as it was listed.
type item struct {
	Rel    string // what follows the prefix; empty for the marker
	Size   int64
	ETag   string
	source backend.Object // as listed by this process
	copied string         // ETag of the copy; empty if any may be it
}

// foreign is an ETag of no object: what is at the destination is not our copy.
const foreign = "\x00"

// collect lists the directory, with all keys that no name leads to.
func (m *move) collect(ctx context.Context, limit int) error {
	maxKey := m.store.Caps().MaxKey
	for row, err := range m.store.List(ctx, m.From, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return err
		}
		if len(m.Items) == limit {
			return fmt.Errorf("a directory with more than %d objects: %w", limit, backend.ErrUnsupported)
		}
		rel := row.Key[len(m.From):]
		if err := backend.CheckKey(m.To+rel, maxKey); err != nil {
			return fmt.Errorf("%w: %s", ErrName, err.Error())
		}
		m.Items = append(m.Items, item{Rel: rel, Size: row.Size, ETag: row.ETag, source: row.Object})
	}
	return nil
}

// run moves the directory, or leaves it as it was.
func (m *move) run(ctx context.Context) error {
	if len(m.Items) == 0 { // marked by another tool alone
		if err := mark(ctx, m.store, m.To); err != nil {
			return err
		}
		return m.finish(ctx, nil)
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := m.create(ctx); err != nil {
		return err
	}
	stop := m.heartbeat(ctx, cancel)
	defer stop()
	err := m.copyAll(work)
	if err == nil {
		err = m.confirm(work)
	}
	if err == nil {
		err = m.save(work, true)
	}
	// From here on the end of ctx changes nothing.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer done()
	if err != nil {
		if undo := m.rollback(last, time.Time{}); undo != nil {
			return fmt.Errorf("%w (and not all copies are removed yet: %s)", err, undo.Error())
		}
	} else if err = m.finish(last, m.Items); err != nil && !errors.Is(err, backend.ErrChanged) {
		return fmt.Errorf("not all of the source is deleted yet: %w", err)
	}
	stop()
	return errors.Join(err, m.remove(last))
}

// copyAll copies every item to where nothing must be.
func (m *move) copyAll(ctx context.Context) error {
	for i := range m.Items {
		m.Items[i].copied = foreign
	}
	return each(ctx, m.Items, func(ctx context.Context, it *item) error {
		opts := backend.CopyOptions{If: backend.Condition{Absent: true}}
		if it.Rel != "" && !strings.HasSuffix(it.Rel, "/") { // the marker of a directory has no class
			opts.StorageClass = cmp.Or(m.class, it.source.StorageClass)
		}
		obj, err := m.engine.Copy(ctx, m.store, m.To+it.Rel, it.source, opts)
		if !errors.Is(err, backend.ErrChanged) {
			it.copied = obj.ETag // empty where the outcome is not known
		}
		return err
	})
}

// confirm checks that the store lists a copy of every item.
func (m *move) confirm(ctx context.Context) error {
	there, err := m.copies(ctx)
	if err == nil && len(there) < len(m.Items) {
		err = fmt.Errorf("%d of %d copies are there: %w", len(there), len(m.Items), backend.ErrChanged)
	}
	return err
}

// copies lists the destination and returns those items whose copies are there, each with the ETag of its copy.
func (m *move) copies(ctx context.Context) ([]item, error) {
	var there []item
	rest := m.Items // in order of keys, as the listing is
	for row, err := range m.store.List(ctx, m.To, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return nil, err
		}
		rel := row.Key[len(m.To):]
		for len(rest) > 0 && rest[0].Rel < rel {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			break
		}
		it := rest[0]
		if it.Rel != rel || it.Size != row.Size || it.copied != "" && it.copied != row.ETag {
			continue
		}
		it.copied = row.ETag
		it.source = row.Object // carries the time of the copy to rollback
		there = append(there, it)
	}
	return there, nil
}

// finish deletes the source of items, whose copies are confirmed. What was changed since it was copied stays, and makes the error
// ErrChanged.
func (m *move) finish(ctx context.Context, items []item) error {
	dir := strings.TrimSuffix(m.From, "/")
	if m.Parent != "" {
		if err := keep(ctx, m.store, m.Parent, m.From, dir, dir+folderSuffix); err != nil {
			return err
		}
	}
	files := items
	if len(items) > 0 && items[0].Rel == "" {
		files = items[1:] // the marker goes last
	}
	var changed atomic.Pointer[error]
	del := func(ctx context.Context, it *item) error {
		err := patient(ctx, func() error {
			return deleteVersion(ctx, m.store, backend.Object{Key: m.From + it.Rel, ETag: it.ETag})
		})
		if errors.Is(err, backend.ErrChanged) {
			changed.Store(&err)
			return nil
		}
		return err
	}
	if err := each(ctx, files, del); err != nil {
		return err
	}
	if len(files) < len(items) {
		if err := del(ctx, &items[0]); err != nil {
			return err
		}
	}
	for _, key := range m.Marks {
		if err := patient(ctx, func() error { return m.store.Delete(ctx, key, backend.DeleteOptions{}) }); err != nil {
			return err
		}
	}
	if err := changed.Load(); err != nil {
		return *err
	}
	return nil
}

// rollback deletes the copies whose source is still what was to be copied. A copy written after the time before, if that is given, is taken for
// somebody else's.
func (m *move) rollback(ctx context.Context, before time.Time) error {
	intact := map[string]string{}
	for row, err := range m.store.List(ctx, m.From, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return err
		}
		intact[row.Key[len(m.From):]] = row.ETag
	}
	there, err := m.copies(ctx)
	if err != nil {
		return err
	}
	return each(ctx, there, func(ctx context.Context, it *item) error {
		if intact[it.Rel] != it.ETag || !before.IsZero() && it.source.Updated.After(before) {
			return nil
		}
		return patient(ctx, func() error {
			err := deleteVersion(ctx, m.store, backend.Object{Key: m.To + it.Rel, ETag: it.copied})
			if errors.Is(err, backend.ErrChanged) {
				return nil // somebody else's by now
			}
			return err
		})
	})
}

// each calls f for every item, several at once, until one returns an error, and returns that when all have returned.
func each(ctx context.Context, items []item, f func(context.Context, *item) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moveParallel)
	for i := range items {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(gctx, &items[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// patient repeats a clean-up that the store has failed, a few times.
func patient(ctx context.Context, f func() error) error {
	wait := 200 * time.Millisecond
	for {
		err := f()
		if err == nil || errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrPermission) || wait > 2*time.Second {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		wait *= 2
	}
}
