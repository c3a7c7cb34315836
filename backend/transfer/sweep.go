package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/backend"
)

const (
	tailAge    = time.Hour          // a tail that no record names is one that was lost after that
	segmentAge = 7 * 24 * time.Hour // and so a segment: an upload that cannot be resumed has no record, and may take days
)

// Sweep ends the uploads in a store that nobody has resumed in time, and removes what no record names any more. It is to be
// called at start, which also lets it see early whose owners are dead, and every few minutes after. Any number of processes may do so: each
// item is claimed by a conditional write.
func (e *Engine) Sweep(ctx context.Context, store backend.Store) error {
	if !store.Caps().Conditional {
		return nil
	}
	// What may have been lost is listed before the records are: whoever writes one by then has had time to.
	var lost []backend.Object
	var errs []error
	for prefix, age := range map[string]time.Duration{e.cfg.Tails: tailAge, e.cfg.Segments: segmentAge} {
		for row, err := range store.List(ctx, prefix, backend.ListOptions{Recursive: true}) {
			if err != nil {
				return fmt.Errorf("list %s: %w", prefix, err)
			}
			if time.Since(row.Updated) > age {
				lost = append(lost, row.Object)
			}
		}
	}
	named := map[string]bool{}
	for row, err := range store.List(ctx, e.cfg.Uploads, backend.ListOptions{Recursive: true}) {
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("list %s: %w", e.cfg.Uploads, err))...)
		}
		rec, err := e.sweep(ctx, store, row.Object)
		if err != nil {
			errs = append(errs, fmt.Errorf("upload %s: %w", row.Key, err))
		}
		for _, s := range rec.Streams {
			named[s.Key] = true
		}
		if rec.Tail != nil {
			named[rec.Tail.Key] = true
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...) // a record that could not be read may name what looks lost
	}
	for _, obj := range lost {
		if named[obj.Key] {
			continue
		}
		if err := store.Delete(ctx, obj.Key, backend.DeleteOptions{ETag: obj.ETag}); err != nil && !errors.Is(err, backend.ErrChanged) {
			errs = append(errs, fmt.Errorf("delete %s: %w", obj.Key, err))
		}
	}
	return errors.Join(errs...)
}

// sweep looks at one record.
func (e *Engine) sweep(ctx context.Context, store backend.Store, row backend.Object) (record, error) {
	rec, obj, err := e.load(ctx, store, row.Key, row.ETag)
	switch {
	case errors.Is(err, backend.ErrChanged), errors.Is(err, backend.ErrNotExist):
		rec, obj, err = e.load(ctx, store, row.Key, "")
	case errors.Is(err, errNoRecord) && time.Since(row.Updated) > segmentAge:
		if err = store.Delete(ctx, row.Key, backend.DeleteOptions{ETag: row.ETag}); errors.Is(err, backend.ErrChanged) {
			err = nil // another replica was quicker
		}
		return record{}, err
	}
	switch {
	case errors.Is(err, backend.ErrNotExist), errors.Is(err, errNoRecord):
		return record{}, nil
	case err != nil:
		return rec, err
	}
	if rec.Owner != "" && rec.Owner != e.id {
		e.observe(placeOf(store, row.Key), obj.ETag)
	}
	if time.Now().Before(rec.Expires) {
		return rec, nil
	}
	if err := e.discard(ctx, store, row.Key, false); err != nil && !errors.Is(err, ErrBusy) {
		return rec, err
	}
	return rec, nil
}
