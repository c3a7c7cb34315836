package vfs

import (
	"context"
	"fmt"

	"sluice/backend"
)

// Restore implements FS. It takes the right to read: whoever wants a file must be able to have it.
func (t *Tree) Restore(ctx context.Context, name string, days int) (bool, error) {
	begun, err := t.restore(ctx, name, days)
	if err != nil {
		return false, fmt.Errorf("restore %s: %w", name, err)
	}
	return begun, nil
}

func (t *Tree) restore(ctx context.Context, name string, days int) (bool, error) {
	n, err := t.resolve(name)
	switch {
	case err != nil:
		return false, err
	case n.fixed:
		return false, ErrIsDir
	case n.mount == nil:
		return false, ErrNotExist
	}
	if err := n.allow(Read); err != nil {
		return false, err
	}
	e, err := t.lookup(ctx, n)
	switch {
	case err != nil:
		return false, err
	case e.dir:
		return false, ErrIsDir
	case e.file == nil:
		return false, ErrNotExist
	case !e.file.Archived:
		return false, nil
	}
	return true, n.store().Restore(ctx, n.key(), backend.RestoreOptions{Days: days})
}
