package vfs

import (
	"context"
	"errors"
	"fmt"

	"sluice/backend"
)

// Remove implements FS. If the file is the last entry of a directory without a marker, the directory gets one first.
func (t *Tree) Remove(ctx context.Context, name string) error {
	if err := t.remove(ctx, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (t *Tree) remove(ctx context.Context, name string) error {
	n, err := t.resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(n.allow(Delete), n.change()); err != nil {
		return ErrPermission
	}
	t.survey(ctx, n)
	e, err := t.look(ctx, n, statRow)
	switch {
	case err != nil:
		return err
	case e.dir:
		return ErrIsDir
	}
	partial, err := t.dropPartial(ctx, n, e)
	switch {
	case err != nil:
		return err
	case e.file == nil && partial:
		return nil
	case e.file == nil:
		return ErrNotExist
	}
	if err := t.keepParent(ctx, n, n.key()); err != nil {
		return err
	}
	if err := n.store().Delete(ctx, n.key(), backend.DeleteOptions{}); err != nil {
		return err
	}
	t.own.Remove(name)
	return nil
}

// Mkdir implements FS. It writes a marker.
func (t *Tree) Mkdir(ctx context.Context, name string) error {
	if err := t.mkdir(ctx, name); err != nil {
		return fmt.Errorf("mkdir %s: %w", name, err)
	}
	return nil
}

func (t *Tree) mkdir(ctx context.Context, name string) error {
	n, err := t.resolve(name)
	switch {
	case err != nil:
		return err
	case n.fixed:
		return ErrExist
	case n.mount == nil:
		return ErrPermission
	}
	if err := n.allow(Mkdir); err != nil {
		return err
	}
	if len(n.dir()) > n.store().Caps().MaxKey {
		return fmt.Errorf("%d bytes: %w", len(n.dir()), ErrName)
	}
	t.survey(ctx, n)
	e, err := t.look(ctx, n, statRow)
	switch {
	case err != nil:
		return err
	case e.dir || e.file != nil:
		return ErrExist
	}
	if err := t.enter(ctx, t.parent(n)); err != nil {
		return err
	}
	err = mark(ctx, n.store(), n.dir())
	if errors.Is(err, backend.ErrChanged) {
		return ErrExist
	}
	return err
}

// Rmdir implements FS. A file that is uploaded into the directory at the same moment is not lost: the directory
// then goes on existing without its marker.
func (t *Tree) Rmdir(ctx context.Context, name string) error {
	if err := t.rmdir(ctx, name); err != nil {
		return fmt.Errorf("rmdir %s: %w", name, err)
	}
	return nil
}

func (t *Tree) rmdir(ctx context.Context, name string) error {
	n, err := t.resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(n.allow(Delete), n.change()); err != nil {
		return ErrPermission
	}
	t.survey(ctx, n)
	found, err := rows(ctx, n.store(), n.dir(), 2)
	if err != nil {
		return err
	}
	for _, row := range found {
		if row.Key != n.dir() {
			return ErrNotEmpty
		}
	}
	marks, err := t.marks(ctx, n)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		marks = append(marks, n.dir())
	}
	if len(marks) == 0 {
		return t.enterMarked(ctx, n) // not a directory, or nothing
	}
	if err := t.keepParent(ctx, n, n.dir(), n.key(), n.key()+folderSuffix); err != nil {
		return err
	}
	for _, key := range marks {
		if err := n.store().Delete(ctx, key, backend.DeleteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// marks returns the keys by which other tools have marked the directory n.
func (t *Tree) marks(ctx context.Context, n node) ([]string, error) {
	var keys []string
	e, err := statRow(ctx, n)
	if err != nil {
		return nil, err
	}
	if e.dir {
		keys = append(keys, n.key())
	}
	f, err := statFolder(ctx, n)
	if err != nil {
		return nil, err
	}
	if f.dir && e.file == nil {
		keys = append(keys, n.key()+folderSuffix)
	}
	return keys, nil
}
