package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"time"

	"sluice/backend"
)

// sight is how a record of another Engine was last seen. That one may be dead.
type sight struct {
	etag    string
	since   time.Time // when this version was first seen
	changed bool      // another version was seen before
}

// placeOf names a record in a store; a store that cannot be compared is taken for the only one.
func placeOf(store backend.Store, key string) place {
	if !reflect.ValueOf(store).Comparable() {
		return place{nil, key}
	}
	return place{store, key}
}

// observe notes the version of a record and returns how it was seen.
func (e *Engine) observe(p place, etag string) sight {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.seen[p]
	if !ok || s.etag != etag {
		for other, old := range e.seen {
			if len(e.seen) < maxKnown && time.Since(old.since) < skew {
				break // looked at one of them in passing, so that the map does not grow for ever
			}
			delete(e.seen, other)
		}
		s = sight{etag: etag, since: time.Now(), changed: ok}
		e.seen[p] = s
	}
	return s
}

// unchanged reports whether that version has been seen for so long that its owner can begin nothing any more.
func (s sight) unchanged() bool { return time.Since(s.since) >= Watch }

// dead reports whether the owner of a record, another Engine, can begin nothing any more. That its process has ended would not be
// enough: a part that it has sent may arrive later, in the place of another one.
func (s sight) dead(obj backend.Object) bool {
	return s.unchanged() || !obj.Updated.IsZero() && time.Since(obj.Updated) >= skew
}

// owners returns the keepers of a record in this process.
func (e *Engine) owners(p place) []*keeper {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running[p]
}

// owner returns the keeper that has the record.
func (e *Engine) owner(p place) *keeper {
	for _, k := range e.owners(p) {
		k.mu.Lock()
		has := k.etag != "" && !k.taken
		k.mu.Unlock()
		if has {
			return k
		}
	}
	return nil
}

// settled waits for the uploads of this process that are just being cut off, so that what is asked next is answered with what
// they leave.
func (e *Engine) settled(ctx context.Context, p place) {
	for _, k := range e.owners(p) {
		k.mu.Lock()
		ending := k.ending
		k.mu.Unlock()
		if !ending {
			continue
		}
		t := time.NewTimer(linger)
		select {
		case <-k.done:
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// claim makes a record this Engine's and returns it as it is then. ErrBusy where somebody works on it, or was quicker. With
// patience it waits until it is clear that the owner is dead.
func (e *Engine) claim(ctx context.Context, store backend.Store, key string, patience bool) (record, backend.Object, error) {
	p := placeOf(store, key)
	e.settled(ctx, p)
	etag := ""
	for {
		rec, obj, err := e.load(ctx, store, key, "")
		switch {
		case errors.Is(err, backend.ErrNotExist):
			return rec, obj, ErrGone
		case err != nil && !errors.Is(err, errNoRecord):
			return rec, obj, err
		case etag != "" && obj.ETag != etag:
			return rec, obj, ErrBusy // its owner lives
		}
		free := true
		switch rec.Owner {
		case "":
		case e.id:
			if k := e.owner(p); k != nil {
				if !k.idle() {
					return rec, obj, ErrBusy
				}
				k.take()
				continue
			}
		default:
			free = e.observe(p, obj.ETag).dead(obj)
		}
		if free {
			return e.seize(ctx, store, key, rec, obj)
		}
		if !patience {
			return rec, obj, ErrBusy
		}
		etag = obj.ETag
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return rec, obj, context.Cause(ctx)
		}
	}
}

// seize writes this Engine's name into a record.
func (e *Engine) seize(ctx context.Context, store backend.Store, key string, rec record, obj backend.Object) (record, backend.Object, error) {
	rec.Owner, rec.Serial = e.id, rand.Text()
	now, err := save(ctx, store, key, obj.ETag, rec)
	if errors.Is(err, backend.ErrChanged) {
		err = ErrBusy
	}
	return rec, now, err
}

// release gives a record back that was claimed and not worked on.
func (e *Engine) release(ctx context.Context, store backend.Store, key string, rec record, obj backend.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	rec.Owner, rec.Serial = "", rand.Text()
	_, err := save(ctx, store, key, obj.ETag, rec)
	return err
}

// discard ends the upload of a record and removes all of it. ErrBusy where somebody works on it; see claim. What is gone is
// no error.
func (e *Engine) discard(ctx context.Context, store backend.Store, key string, patience bool) error {
	rec, obj, err := e.claim(ctx, store, key, patience)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.remove(ctx, store, rec, obj)
}

// remove is discard for a record that is this Engine's. Where it fails, the record stays, so that it is tried again.
func (e *Engine) remove(ctx context.Context, store backend.Store, rec record, obj backend.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	var errs []error
	for _, s := range rec.Streams {
		if s.ETag == "" {
			errs = append(errs, retry(ctx, func(ctx context.Context) error { return abort(ctx, store, s) }))
		}
		if s.Key != rec.Key {
			errs = append(errs, retry(ctx, func(ctx context.Context) error { return store.Delete(ctx, s.Key, backend.DeleteOptions{}) }))
		}
	}
	if rec.Tail != nil {
		errs = append(errs, retry(ctx, func(ctx context.Context) error { return store.Delete(ctx, rec.Tail.Key, backend.DeleteOptions{}) }))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return retry(ctx, func(ctx context.Context) error {
		err := store.Delete(ctx, obj.Key, backend.DeleteOptions{ETag: obj.ETag})
		if errors.Is(err, backend.ErrChanged) {
			return nil
		}
		return err
	})
}

// abort ends the upload of a stream, if there is one.
func abort(ctx context.Context, store backend.Store, s streamRecord) error {
	up, err := store.ResumeUpload(ctx, s.Key, s.ID, backend.PutOptions{})
	if errors.Is(err, backend.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return up.Abort(ctx)
}

// Drop ends an upload that was cut off and removes all of it. ErrBusy where somebody works on it.
func (e *Engine) Drop(ctx context.Context, store backend.Store, p Partial) error {
	return e.discard(ctx, store, p.record, false)
}
