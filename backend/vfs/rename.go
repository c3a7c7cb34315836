package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/backend"
)

// finishTimeout bounds what is done after the point of no return of a rename, which the end of the caller's context does not stop.
const finishTimeout = 10 * time.Minute

// Rename implements FS. A file is moved in one step where its store can do that. Else it is copied inside its store, or through
// this process into another store, and then deleted; if it was changed meanwhile, the copy goes instead, and ErrChanged is the
// answer. Whatever fails, the content stays under at least one of the names; a crash
// between copy and delete leaves it under both.
//
// A directory is copied completely before anything of it is deleted. It must stay in its store, ErrUnsupported otherwise, and hold no more than
// Config.RenameLimit objects: ErrTooMany. ErrBusy where another rename of a directory, under way or left by a dead process,
// has to do with the same keys. See Recover for what a crash leaves.
//
// It takes the right to rename, to overwrite where to exists, and to create where to lies in another mount.
func (t *Tree) Rename(ctx context.Context, from, to string) error {
	if err := t.rename(ctx, from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

func (t *Tree) rename(ctx context.Context, from, to string) error {
	src, err := t.resolve(from)
	if err != nil {
		return err
	}
	dst, err := t.resolve(to)
	if err != nil {
		return err
	}
	if src.change() != nil || dst.change() != nil || src.allow(Rename) != nil {
		return ErrPermission
	}
	if src.mount != dst.mount && dst.allow(Create) != nil {
		return ErrPermission
	}
	t.survey(ctx, src)
	e, err := t.look(ctx, src, statRow)
	if err != nil {
		return err
	}
	if !e.dir && e.file == nil {
		return ErrNotExist
	}
	one := src.mount.id == dst.mount.id // store
	if one && src.key() == dst.key() {
		return nil
	}
	if e.dir && one && strings.HasPrefix(dst.dir(), src.dir()) {
		return fmt.Errorf("into itself: %w", ErrName)
	}
	t.survey(ctx, dst)
	old, err := t.look(ctx, dst, statRow)
	switch {
	case err != nil:
		return err
	case old.dir || e.dir && old.file != nil:
		return ErrExist
	case old.file == nil:
		if err := t.enter(ctx, t.parent(dst)); err != nil {
			return err
		}
	case dst.allow(Overwrite) != nil:
		return ErrPermission
	}
	if e.dir {
		if !one {
			return fmt.Errorf("a directory cannot move to another store: %w", backend.ErrUnsupported)
		}
		return t.renameDir(ctx, src, dst)
	}
	if err := t.renameFile(ctx, src, dst, *e.file, old.file); err != nil {
		return err
	}
	if info, ok := t.own.Peek(from); ok {
		t.own.Remove(from)
		info.Name = dst.base()
		t.own.Add(to, info)
	}
	return nil
}

// renameFile moves file from src to dst, where old is or nothing.
func (t *Tree) renameFile(ctx context.Context, src, dst node, file backend.Object, old *backend.Object) error {
	cond := backend.Condition{Absent: true}
	if old != nil {
		cond = backend.Condition{ETag: old.ETag}
	}
	if file.Partial && typed(src, dst) { // a copy with another type must name all the rest
		e, err := statFile(ctx, src)
		switch {
		case err != nil:
			return err
		case e.file == nil || e.file.ETag != file.ETag:
			return backend.ErrChanged
		}
		file = *e.file
	}
	err := t.moveFile(ctx, src, dst, &file, cond)
	if !errors.Is(err, backend.ErrUnsupported) {
		return err
	}
	opts := backend.CopyOptions{If: cond, StorageClass: dst.mount.StorageClass}
	var made backend.Object
	if src.mount.id == dst.mount.id {
		opts.StorageClass = cmp.Or(opts.StorageClass, file.StorageClass)
		opts.Replace = retyped(src, dst, file, opts.StorageClass)
		made, err = t.engine.Copy(ctx, src.store(), dst.key(), file, opts)
	} else {
		made, err = t.engine.Relay(ctx, dst.store(), dst.key(), src.store(), file, opts)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err = t.keepParent(ctx, src, src.key()); err == nil {
		err = deleteVersion(ctx, src.store(), file)
		if err != nil && !errors.Is(err, backend.ErrChanged) && !errors.Is(err, backend.ErrPermission) {
			return err // nobody knows whether the source is gone: the copy stays
		}
	}
	if err != nil && old == nil {
		if undo := deleteVersion(ctx, dst.store(), made); undo != nil {
			return fmt.Errorf("%w (and the copy stays: %s)", err, undo.Error())
		}
	}
	return err
}

// moveFile is renameFile in one step. ErrUnsupported where the store has none, and where the file would change its store or class on
// the way.
func (t *Tree) moveFile(ctx context.Context, src, dst node, file *backend.Object, cond backend.Condition) error {
	class := cmp.Or(dst.mount.StorageClass, file.StorageClass)
	if src.mount.id != dst.mount.id || class != file.StorageClass || !src.store().Caps().Move {
		return backend.ErrUnsupported
	}
	if a := retyped(src, dst, *file, class); a != nil { // under its old name, where it is no matter if that is all that happens
		now, err := t.engine.Copy(ctx, src.store(), src.key(), *file, backend.CopyOptions{If: backend.Condition{ETag: file.ETag}, Replace: a})
		if err != nil {
			return err
		}
		*file = now
	}
	if err := t.keepParent(ctx, src, src.key()); err != nil {
		return err
	}
	_, err := t.engine.Move(ctx, src.store(), dst.key(), *file, backend.MoveOptions{If: cond})
	return err
}

// retyped returns the attributes of a file whose old name, such as that of an upload under way, told no type and whose new name
// does. Otherwise the copy keeps what the file has: nil.
func retyped(src, dst node, file backend.Object, class string) *backend.Attributes {
	if !typed(src, dst) || file.ContentType != "" && file.ContentType != "application/octet-stream" {
		return nil
	}
	a := file.Attributes()
	a.ContentType, a.StorageClass = contentType(dst.base()), class
	return &a
}

// typed reports whether the name dst tells a type and src does not.
func typed(src, dst node) bool { return contentType(dst.base()) != "" && contentType(src.base()) == "" }

// deleteVersion deletes an object if it is still the version obj. ErrChanged means that there is another one; that it is
// gone already is no error.
func deleteVersion(ctx context.Context, store backend.Store, obj backend.Object) error {
	opts := backend.DeleteOptions{ETag: obj.ETag}
	if !store.Caps().Conditional {
		opts.ETag = ""
		if now, err := store.Stat(ctx, obj.Key); errors.Is(err, backend.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		} else if now.ETag != obj.ETag {
			return fmt.Errorf("%s: %w", obj.Key, backend.ErrChanged)
		}
	}
	err := store.Delete(ctx, obj.Key, opts)
	if !errors.Is(err, backend.ErrChanged) {
		return err
	}
	// A retry inside the driver may have met the success of its first attempt.
	if _, gone := store.Stat(ctx, obj.Key); errors.Is(gone, backend.ErrNotExist) {
		return nil
	} else if gone != nil {
		return gone
	}
	return err
}

// renameDir moves the directory src to dst, where nothing is.
func (t *Tree) renameDir(ctx context.Context, src, dst node) error {
	m := newMove(src.store(), t.engine, journal{From: src.dir(), To: dst.dir(), Class: dst.mount.StorageClass})
	if p := t.parent(src); !p.fixed {
		m.Parent = p.dir()
	}
	var err error
	if m.Marks, err = t.marks(ctx, src); err != nil {
		return err
	}
	if err := m.collect(ctx, t.renameLimit); err != nil {
		return err
	}
	return m.run(ctx)
}
