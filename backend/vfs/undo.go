package vfs

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/backend"
)

// undo removes the copies. See rollback.
func (m *move) undo(ctx context.Context, wait time.Duration) error {
	if err := patient(ctx, func() error { return m.save(ctx, undoing) }); err != nil {
		return err
	}
	return m.rollback(ctx, wait)
}

// unmark deletes what marks a directory, unless it has become a file.
func unmark(ctx context.Context, store backend.Store, key string) error {
	obj, err := store.Stat(ctx, key)
	switch {
	case errors.Is(err, backend.ErrNotExist), err == nil && !isMark(obj):
		return nil
	case err != nil:
		return err
	}
	if err := deleteVersion(ctx, store, obj); !errors.Is(err, backend.ErrChanged) {
		return err
	}
	return nil // somebody else's by now
}

// isMark reports whether an object marks a directory.
func isMark(obj backend.Object) bool {
	return strings.HasSuffix(obj.Key, "/") || strings.HasSuffix(obj.Key, folderSuffix) || isFolder(obj)
}

// rollback deletes the copies that copies tells of, when it has waited for those that are still to come.
func (m *move) rollback(ctx context.Context, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if m.made {
		return m.patient(ctx, func() error { return unmark(ctx, m.store, m.To) })
	}
	if _, err := m.sources(ctx); err != nil {
		return err
	}
	there, err := m.copies(ctx)
	if err != nil {
		return err
	}
	del := func(ctx context.Context, it *item) error {
		return m.patient(ctx, func() error {
			err := deleteVersion(ctx, m.store, backend.Object{Key: m.To + it.Rel, ETag: it.copy.ETag})
			if errors.Is(err, backend.ErrChanged) {
				return nil // somebody else's by now
			}
			return err
		})
	}
	for stage := range upward(there) {
		if err := m.each(ctx, stage, del); err != nil {
			return err
		}
	}
	return nil
}
