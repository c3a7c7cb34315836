package vfs

import (
	"cmp"
	"context"
	"fmt"

	"sluice/backend"
)

// mayTouch returns nil if the user has the right want to the file n, or has uploaded it of late: then it must still be the
// version that is returned.
func (t *Tree) mayTouch(n node, want Rights) (version string, err error) {
	switch {
	case n.fixed:
		return "", ErrIsDir
	case n.mount == nil:
		return "", ErrNotExist
	case n.allow(want) == nil:
		return "", nil
	}
	if info, ok := t.own.Get(n.name); ok {
		return info.ETag, nil
	}
	return "", ErrPermission
}

// remember notes what a user who has not all rights to n has written there.
func (t *Tree) remember(n node, obj backend.Object) {
	if n.allow(List|Read|Overwrite) != nil {
		t.own.Add(n.name, fileInfo(n.base(), n.rights(), obj))
	}
}

// Copy implements FS. It takes the right to read, and those that Put would take at to. A copy inside a store does not pass
// through this process. ErrChanged where somebody else changes one of the files at the same moment.
func (t *Tree) Copy(ctx context.Context, from, to string) error {
	if err := t.copy(ctx, from, to); err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return nil
}

func (t *Tree) copy(ctx context.Context, from, to string) error {
	src, err := t.resolve(from)
	if err != nil {
		return err
	}
	dst, err := t.resolve(to)
	if err != nil {
		return err
	}
	if dst.change() != nil || dst.rights()&(Create|Overwrite) == 0 {
		return ErrPermission
	}
	file, err := t.source(ctx, src, Read)
	if err != nil {
		return err
	}
	one := src.mount.id == dst.mount.id // store
	if one && src.key() == dst.key() {
		return nil
	}
	old, err := t.lookup(ctx, dst)
	cond := backend.Condition{Absent: true}
	switch {
	case err != nil:
		return err
	case old.dir:
		return ErrExist
	case old.file == nil:
		err = t.mayCreate(ctx, dst, 0)
	default:
		if dst, err = t.settle(ctx, dst); err == nil && dst.name == to {
			cond = backend.Condition{ETag: old.file.ETag}
		}
	}
	if err != nil {
		return err
	}
	var obj backend.Object
	if one {
		obj, err = t.engine.Copy(ctx, src.store(), dst.key(), *file, backend.CopyOptions{If: cond, StorageClass: cmp.Or(dst.mount.StorageClass, file.StorageClass)})
	} else {
		obj, err = t.engine.Relay(ctx, dst.store(), dst.key(), src.store(), *file, backend.CopyOptions{If: cond, StorageClass: dst.mount.StorageClass})
	}
	if err != nil {
		return err
	}
	t.remember(dst, obj)
	return nil
}

// source returns the file n, which the user must have the rights want to.
func (t *Tree) source(ctx context.Context, n node, want Rights) (*backend.Object, error) {
	switch {
	case n.fixed:
		return nil, ErrIsDir
	case n.mount == nil:
		return nil, ErrNotExist
	}
	if err := n.allow(want); err != nil {
		return nil, err
	}
	e, err := t.lookup(ctx, n)
	switch {
	case err != nil:
		return nil, err
	case e.dir:
		return nil, ErrIsDir
	case e.file == nil:
		return nil, ErrNotExist
	case e.file.Archived:
		return nil, backend.ErrArchived
	}
	return e.file, nil
}
