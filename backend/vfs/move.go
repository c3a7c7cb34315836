package vfs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
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
// the first copy until after the last delete, so that whoever finds it can go on where this process was killed.
type move struct {
	journal
	store  backend.Store
	engine *transfer.Engine
	items  []item // in order of keys
	key    string // of the journal

	adopted bool // from a process that is dead
	made    bool // the marker at the destination, where there are no items, is ours

	saving chan struct{} // has room while the journal is not written

	mu    sync.Mutex
	etag  string    // of the journal as last written
	saved time.Time // when that was begun
}

// newMove makes a move with an owner of its own: a process can find itself to be too late as well.
func newMove(store backend.Store, engine *transfer.Engine, j journal) *move {
	j.Owner = engine.Owner() + "." + rand.Text()
	return &move{journal: j, store: store, engine: engine, saving: make(chan struct{}, 1)}
}

// item is one object of the directory, as it was listed.
type item struct {
	Rel     string // what follows the prefix; empty for the marker
	Size    int64
	ETag    string
	Updated time.Time
	source  backend.Object // as listed by this process; zero where it is not what it was
	copy    backend.Object // as listed at the destination
	copied  string         // ETag of the copy that this process has made; empty if one may be there
	placed  bool           // something is at the destination, found by who goes on with the move of another
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
		if len(m.items) == limit {
			return fmt.Errorf("more than %d objects: %w", limit, ErrTooMany)
		}
		rel := row.Key[len(m.From):]
		if err := backend.CheckKey(m.To+rel, maxKey); err != nil {
			return fmt.Errorf("%w: %s", ErrName, err.Error())
		}
		m.items = append(m.items, item{Rel: rel, Size: row.Size, ETag: row.ETag, Updated: row.Updated, source: row.Object})
	}
	return nil
}

// run moves the directory, or leaves it as it was.
func (m *move) run(ctx context.Context) error {
	// From the last copy on the end of ctx changes nothing.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer done()
	defer m.begin()()
	err := m.create(ctx)
	if err == nil {
		err = m.alone(ctx)
	}
	if err != nil {
		if undo := m.remove(last); undo != nil {
			return fmt.Errorf("%w (and it may be there: %s)", err, undo.Error())
		}
		return err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := m.heartbeat(ctx, cancel)
	defer stop()
	if err := m.forward(work); err != nil {
		switch undo := m.undo(last, 0); {
		case errors.Is(undo, errLost):
			return undo // somebody else finishes it
		case undo != nil:
			return fmt.Errorf("%w (and not all copies are removed yet: %s)", err, undo.Error())
		}
		stop()
		return errors.Join(err, m.remove(last))
	}
	err = m.finish(last, m.items)
	if err != nil && !errors.Is(err, backend.ErrChanged) {
		return fmt.Errorf("not all of the source is deleted yet: %w", err)
	}
	stop()
	_ = m.remove(last) // all is done: if the journal stays, Recover removes it
	return err
}

// forward copies what is not copied yet and confirms it. Then there is no way back.
func (m *move) forward(ctx context.Context) error {
	if err := m.copyAll(ctx); err != nil {
		return err
	}
	if err := m.confirm(ctx); err != nil {
		return err
	}
	return m.save(ctx, deleting)
}

// copyAll copies every item to where nothing must be.
func (m *move) copyAll(ctx context.Context) error {
	if len(m.items) == 0 { // marked by another tool alone
		err := mark(ctx, m.store, m.To)
		there := errors.Is(err, backend.ErrChanged)
		if m.made = m.adopted || !there; m.adopted && there {
			return nil
		}
		return err
	}
	for i := range m.items {
		if it := &m.items[i]; !it.placed {
			it.copied = foreign
		}
	}
	return m.each(ctx, every(m.items), func(ctx context.Context, it *item) error {
		if it.placed {
			return nil
		}
		opts := backend.CopyOptions{If: backend.Condition{Absent: true}}
		if it.Rel != "" && !strings.HasSuffix(it.Rel, "/") { // the marker of a directory has no class
			opts.StorageClass = cmp.Or(m.Class, it.source.StorageClass)
		}
		obj, err := m.engine.Copy(ctx, m.store, m.To+it.Rel, it.source, opts)
		switch {
		case !errors.Is(err, backend.ErrChanged):
			it.copied = obj.ETag // empty where the outcome is not known
		case m.adopted:
			it.copied = "" // what the dead process sent may have come meanwhile; confirm tells
			return nil
		}
		return err
	})
}

// confirm checks that the store lists a copy of every item.
func (m *move) confirm(ctx context.Context) error {
	there, err := m.copies(ctx)
	if err == nil && len(there) < len(m.items) {
		err = fmt.Errorf("%d of %d copies are there: %w", len(there), len(m.items), backend.ErrChanged)
	}
	return err
}

// copies lists the destination and returns those items whose copies are there: what this process made, or else what has proved to be the same as
// a source that is what it was. Neither size nor time tell whose an object is.
func (m *move) copies(ctx context.Context) (there []item, err error) {
	err = m.match(ctx, m.To, func(it *item, row backend.Object) {
		if it.Size == row.Size && (it.copied == row.ETag || it.copied == "" && it.source.Key != "") {
			there = append(there, *it)
			there[len(there)-1].copy = row
		}
	})
	if err != nil {
		return nil, err
	}
	err = m.each(ctx, every(there), func(ctx context.Context, it *item) error {
		if it.copied != "" {
			return nil
		}
		same, err := m.same(ctx, it.source, it.copy)
		if !same {
			it.copied = foreign
		}
		return err
	})
	return slices.DeleteFunc(there, func(it item) bool { return it.copied == foreign }), err
}

// sources lists the source and returns how many items are what they were.
func (m *move) sources(ctx context.Context) (intact int, err error) {
	for i := range m.items {
		m.items[i].source = backend.Object{}
	}
	err = m.match(ctx, m.From, func(it *item, row backend.Object) {
		if it.is(row) {
			it.source = row
			intact++
		}
	})
	return intact, err
}

// match lists what is below a prefix and calls f with each item that has something there.
func (m *move) match(ctx context.Context, prefix string, f func(it *item, row backend.Object)) error {
	rest := m.items // in order of keys, as the listing is
	for row, err := range m.store.List(ctx, prefix, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return err
		}
		rel := row.Key[len(prefix):]
		for len(rest) > 0 && rest[0].Rel < rel {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			break
		}
		if rest[0].Rel == rel {
			f(&rest[0], row.Object)
		}
	}
	return nil
}

// finish deletes the source of items, whose copies are confirmed. What was changed since it was copied stays, and makes the error
// ErrChanged.
func (m *move) finish(ctx context.Context, items []item) error {
	dir := strings.TrimSuffix(m.From, "/")
	if m.Parent != "" && len(items)+len(m.Marks) > 0 {
		if err := keep(ctx, m.store, m.Parent, m.From, dir, dir+folderSuffix); err != nil {
			return err
		}
	}
	var changed atomic.Pointer[error]
	del := func(ctx context.Context, it *item) error {
		err := m.patient(ctx, func() error {
			return deleteVersion(ctx, m.store, backend.Object{Key: m.From + it.Rel, ETag: it.ETag})
		})
		if errors.Is(err, backend.ErrChanged) {
			changed.Store(&err)
			return nil
		}
		return err
	}
	for stage := range upward(items) {
		if err := m.each(ctx, stage, del); err != nil {
			return err
		}
	}
	for _, key := range m.Marks {
		if err := m.patient(ctx, func() error { return unmark(ctx, m.store, key) }); err != nil {
			return err
		}
	}
	if err := changed.Load(); err != nil {
		return *err
	}
	return nil
}

// every yields all items.
func every(items []item) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for i := range items {
			if !yield(&items[i]) {
				return
			}
		}
	}
}

// upward yields items in the stages in which they are deleted: the files, then what marks directories, the deepest first. A store may refuse to
// delete a directory with something in it (Azure with a hierarchical namespace), or leave one behind whose marker goes while something in it does
// (gateways to a file system).
func upward(items []item) iter.Seq[iter.Seq[*item]] {
	stages := map[int][]int{} // by depth
	for i := range items {
		depth := math.MaxInt
		switch it := &items[i]; {
		case it.Rel == "" || strings.HasSuffix(it.Rel, "/"):
			depth = strings.Count(it.Rel, "/")
		case isFolder(it.source) || isFolder(it.copy):
			depth = strings.Count(it.Rel, "/") + 1
		}
		stages[depth] = append(stages[depth], i)
	}
	return func(yield func(iter.Seq[*item]) bool) {
		for _, depth := range slices.Backward(slices.Sorted(maps.Keys(stages))) {
			stage := func(yield func(*item) bool) {
				for _, i := range stages[depth] {
					if !yield(&items[i]) {
						return
					}
				}
			}
			if !yield(stage) {
				return
			}
		}
	}
}

// each calls f for every item, several at once, as long as the move is this one's. It ends at the first error, and returns that when all
// have returned.
func (m *move) each(ctx context.Context, items iter.Seq[*item], f func(context.Context, *item) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(moveParallel)
	for it := range items {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := m.hold(gctx); err != nil {
				return err
			}
			return f(gctx, it)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// patient is the other patient for what only the owner of the move may do.
func (m *move) patient(ctx context.Context, f func() error) error {
	return patient(ctx, func() error {
		if err := m.hold(ctx); err != nil {
			return err
		}
		return f()
	})
}

// patient repeats a clean-up that the store has failed, a few times.
func patient(ctx context.Context, f func() error) error {
	wait := 200 * time.Millisecond
	for {
		err := f()
		if err == nil || errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrPermission) || errors.Is(err, errLost) || wait > 2*time.Second {
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
