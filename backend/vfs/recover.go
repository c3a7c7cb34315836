package vfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/transfer"
)

// recoverParallel is how many renames of dead processes are taken up at once.
const recoverParallel = 4

// Recover finishes the renames of directories that dead processes have left unfinished in a store. Where not all copies were confirmed,
// those that are missing are made; if that cannot be done, because somebody has changed the source or put something in the way, all copies
// go instead, and the source is what it was. Otherwise the rest of the source is deleted. An object counts as a copy if it has the content of its
// source; another is left alone. What dead processes have sent and the store carries out later is no harm going forward; going back it is waited
// for during transfer.Watch, and a copy that comes later still stays.
//
// A process is dead if that is certain, as of one that ran on this machine, or if its journal has not changed for a while by the clock
// of this one. left says that there are journals whose owners may live, or that wait for others which overlap them: Recover is to be called again,
// with the same Engine, in transfer.Beat or so. Else it is enough to do so at start and every now and then. Any number of processes may.
func Recover(ctx context.Context, store backend.Store, engine *transfer.Engine) (left bool, err error) {
	var found []*estate
	var errs []error
	var living atomic.Bool
	last := "" // journal
	for row, err := range store.List(ctx, journals, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return false, fmt.Errorf("list %s: %w", journals, err)
		}
		if key, list := strings.CutSuffix(row.Key, listSuffix); list {
			if key != last {
				done, err := sweepList(ctx, store, engine, row.Object)
				errs = append(errs, err)
				living.CompareAndSwap(false, !done)
			}
			continue
		}
		last = row.Key
		e := &estate{key: row.Key}
		e.journal, e.object, err = load(ctx, store, engine, row.Key, "")
		if errors.Is(err, backend.ErrNotExist) {
			continue
		} else if errors.Is(err, errNoJournal) {
			errs = append(errs, err)
			continue
		} else if err != nil {
			return false, fmt.Errorf("recover %s: %w", row.Key, err)
		}
		e.mine = strings.HasPrefix(e.journal.Owner, engine.Owner()+".")
		_, at := running.Load(e.journal.Owner)
		e.dead = engine.Dead(store, backend.Object{Key: row.Key, ETag: e.object.ETag}, e.journal.Owner) && (!e.mine || !at)
		found = append(found, e)
	}
	var g errgroup.Group
	g.SetLimit(recoverParallel)
	for i, e := range found {
		waits := slices.ContainsFunc(found[:i], e.overlaps) || slices.ContainsFunc(found[i:], func(other *estate) bool { return !other.dead && e.overlaps(other) })
		if waits || !e.dead {
			living.Store(true)
			continue
		}
		g.Go(func() error {
			done, err := recoverMove(ctx, store, engine, e)
			if err != nil {
				e.err = fmt.Errorf("recover %s: %w", e.key, err)
			}
			living.CompareAndSwap(false, !done)
			return nil
		})
	}
	_ = g.Wait() // errors are in e.err
	for _, e := range found {
		errs = append(errs, e.err)
	}
	return living.Load(), errors.Join(errs...)
}

// estate is a journal as it was found.
type estate struct {
	key     string
	object  backend.Object
	journal journal
	mine    bool // it is of this Engine
	dead    bool // its owner is
	err     error
}

func (e *estate) overlaps(other *estate) bool { return e.journal.overlaps(other.journal) }

// sweepList removes the items of a journal that is gone: who wrote them was killed while they were on their way.
func sweepList(ctx context.Context, store backend.Store, engine *transfer.Engine, obj backend.Object) (done bool, err error) {
	if !engine.Dead(store, obj, "") {
		return false, nil
	}
	return true, store.Delete(ctx, obj.Key, backend.DeleteOptions{})
}

// recoverMove takes one journal up whose owner is dead. done is false where somebody else is at it.
func recoverMove(ctx context.Context, store backend.Store, engine *transfer.Engine, e *estate) (done bool, err error) {
	m := newMove(store, engine, e.journal)
	m.key = e.key
	if m.Phase != deleting && e.mine {
		m.Phase = undoing // this process has given up itself, and has said so
	}
	defer m.begin()()
	if err := m.write(ctx, backend.Condition{ETag: e.object.ETag}); taken(err) {
		return false, nil
	} else if err != nil {
		return true, err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := m.heartbeat(ctx, cancel)
	defer stop()
	if err := m.restore(work); errors.Is(err, backend.ErrNotExist) {
		// Nothing was copied yet, or nothing is left to do.
	} else if err != nil {
		return true, err
	} else if err := m.resume(work); err != nil {
		return true, err
	}
	stop()
	return true, m.remove(ctx)
}

// taken reports that somebody else was quicker.
func taken(err error) bool {
	return errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist)
}

// restore reads the items. ErrNotExist where there is no list of them.
func (m *move) restore(ctx context.Context) error {
	m.items = m.Items
	if !m.Listed {
		return nil
	}
	_, err := fetch(ctx, m.store, m.engine, m.key+listSuffix, "", &m.items)
	return err
}

// resume goes on where another process was killed. What that one has sent may be carried out later, which is no harm going forward; going back it is
// waited for first.
func (m *move) resume(ctx context.Context) error {
	switch m.Phase {
	case copying:
		err := m.adopt(ctx)
		if err == nil {
			err = m.forward(ctx)
		}
		switch {
		case err == nil:
			return m.finish(ctx, m.items)
		case ctx.Err() != nil:
			return context.Cause(ctx) // the next process goes on
		}
		return m.undo(ctx, transfer.Watch)
	case undoing:
		m.made = len(m.items) == 0
		return m.rollback(ctx, transfer.Watch)
	}
	_, err := m.sources(ctx)
	if err == nil { // every copy was confirmed, whatever somebody has done with it since
		err = m.finish(ctx, slices.DeleteFunc(slices.Clone(m.items), func(it item) bool { return it.source.Key == "" }))
	}
	if errors.Is(err, backend.ErrChanged) {
		return nil // changed after the copy: both stay
	}
	return err
}

// adopt finds the source of every item again, and what is at the destination; confirm tells whether that is a copy. ErrChanged where the source
// is not what it was.
func (m *move) adopt(ctx context.Context) error {
	m.adopted = true
	intact, err := m.sources(ctx)
	if err == nil && intact < len(m.items) {
		err = fmt.Errorf("%d of %d are what they were: %w", intact, len(m.items), backend.ErrChanged)
	}
	if err != nil {
		return err
	}
	return m.match(ctx, m.To, func(it *item, _ backend.Object) { it.placed = true })
}

// is reports whether a row shows what the item was made of. The version alone does not tell, where it is a digest of the content: who
// has uploaded the same again meanwhile wants to keep it.
func (it item) is(row backend.Object) bool {
	return it.ETag == row.ETag && (it.Updated.IsZero() || it.Updated.Equal(row.Updated))
}
