package vfs

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/transfer"
)

// SetModTime implements FS. It takes the right to overwrite, unless the file is what this user has uploaded of late and
// nobody has changed since. ErrChanged where somebody else writes the file at the same moment.
func (t *Tree) SetModTime(ctx context.Context, name string, when time.Time) error {
	if err := t.setModTime(ctx, name, when); err != nil {
		return fmt.Errorf("set time of %s: %w", name, err)
	}
	return nil
}

func (t *Tree) setModTime(ctx context.Context, name string, when time.Time) error {
	n, err := t.resolve(name)
	if err != nil {
		return err
	}
	mine, err := t.mayTouch(n, Overwrite)
	if err != nil {
		return err
	}
	e, err := t.lookup(ctx, n)
	switch {
	case err != nil:
		return err
	case e.dir:
		return ErrIsDir
	case e.file == nil:
		return ErrNotExist
	case mine != "" && mine != e.file.ETag:
		return ErrPermission
	case e.file.Archived:
		return backend.ErrArchived
	case e.file.ModTime.Equal(when):
		return nil
	}
	attributes := e.file.Attributes()
	attributes.ModTime = when.UTC()
	obj, err := t.engine.Copy(ctx, n.store(), n.key(), *e.file, backend.CopyOptions{
		If: backend.Condition{ETag: e.file.ETag}, Replace: &attributes,
	})
	if err != nil {
		return err
	}
	t.remember(n, obj)
	return nil
}

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

// Copy implements FS. It takes the right to read, and those that Put would take at to. A copy inside a store does not pass through this
// process. ErrChanged where somebody else changes one of the files at the same moment.
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
		obj, err = t.engine.Copy(ctx, src.store(), dst.key(), *file, backend.CopyOptions{If: cond})
	} else {
		obj, err = t.engine.Relay(ctx, dst.store(), dst.key(), src.store(), *file, cond)
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

// lookups is how many files Concat looks at, or deletes, at once.
const lookups = 8

// Concat implements FS. It takes the rights to read and delete the files, and to append to the file to, or to create it. Inside a
// store nothing passes through this process but what follows a file that is smaller than the store's parts. A new
// file begins without attributes, and one that exists keeps its own but for the time.
//
// Once the file is whole there is no way back. Of the others, one that has been replaced since it was read stays, and so does one that the store
// does not delete in several attempts. Neither is an error: who tries again would add everything once more. The same
// comes of a crash at that moment.
func (t *Tree) Concat(ctx context.Context, to string, from []string) error {
	if err := t.concat(ctx, to, from); err != nil {
		return fmt.Errorf("join %d files to %s: %w", len(from), to, err)
	}
	return nil
}

func (t *Tree) concat(ctx context.Context, to string, from []string) error {
	dst, err := t.resolve(to)
	if err != nil {
		return err
	}
	if dst.change() != nil || dst.rights()&(Create|Append) == 0 {
		return ErrPermission
	}
	nodes, named, err := t.parts(dst, from)
	if err != nil {
		return err
	}
	old, err := t.lookup(ctx, dst)
	put := backend.PutOptions{If: backend.Condition{Absent: true}}
	var sources []transfer.Source
	switch {
	case err != nil:
		return err
	case old.dir:
		return ErrIsDir
	case old.file == nil && named:
		return ErrNotExist
	case old.file == nil:
		err = t.mayCreate(ctx, dst, 0)
	case old.file.Archived:
		err = backend.ErrArchived
	default:
		err = dst.allow(Append)
		put = appendOptions(*old.file)
		sources = append(sources, transfer.Source{Object: *old.file})
	}
	if err != nil {
		return err
	}
	files, err := t.sources(ctx, dst, nodes)
	if err != nil || len(files) == 0 {
		return err
	}
	for p, gone := range t.families(dst, nodes) {
		if err := keep(ctx, p.store(), p.dir(), gone...); err != nil {
			return err
		}
	}
	obj, err := t.engine.Concat(ctx, dst.store(), dst.key(), append(sources, files...), put)
	if err != nil {
		return err
	}
	t.remember(dst, obj)
	t.consume(ctx, nodes, files)
	return nil
}

// parts resolves the names of the files to join, but for dst at the beginning: named says that it was there.
func (t *Tree) parts(dst node, from []string) (nodes []node, named bool, err error) {
	type place struct {
		store int
		key   string
	}
	if len(from) == 0 {
		return nil, false, fmt.Errorf("no files: %w", ErrNotExist)
	}
	seen := map[place]bool{{dst.mount.id, dst.key()}: true}
	for i, name := range from {
		n, err := t.resolve(name)
		switch {
		case err != nil:
			return nil, false, err
		case n.fixed:
			return nil, false, ErrIsDir
		case n.mount == nil:
			return nil, false, ErrNotExist
		}
		at := place{n.mount.id, n.key()}
		if i == 0 && seen[at] {
			named = true
			continue
		}
		if seen[at] {
			return nil, false, fmt.Errorf("%s twice: %w", name, ErrName)
		}
		seen[at] = true
		nodes = append(nodes, n)
	}
	return nodes, named, nil
}

// sources looks at the files that go to dst.
func (t *Tree) sources(ctx context.Context, dst node, nodes []node) ([]transfer.Source, error) {
	files := make([]transfer.Source, len(nodes))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for i, n := range nodes {
		g.Go(func() error {
			file, err := t.source(gctx, n, Read|Delete)
			if err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
			files[i].Object = *file
			if n.mount.id != dst.mount.id {
				files[i].Store = n.store()
			}
			return nil
		})
	}
	return files, g.Wait()
}

// families returns the directories that may need a marker when the files go, which dst is in none of, with the keys of these
// files.
func (t *Tree) families(dst node, nodes []node) map[node][]string {
	dirs := map[node][]string{}
	for _, n := range nodes {
		if p := t.parent(n); !p.fixed && p != t.parent(dst) {
			dirs[p] = append(dirs[p], n.key())
		}
	}
	return dirs
}

// consume deletes the files that have been joined. It outlives ctx.
func (t *Tree) consume(ctx context.Context, nodes []node, files []transfer.Source) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(lookups)
	for i, n := range nodes {
		g.Go(func() error {
			if err := patient(ctx, func() error { return deleteVersion(ctx, n.store(), files[i].Object) }); err == nil {
				t.own.Remove(n.name)
			}
			return nil
		})
	}
	_ = g.Wait() // see Concat
}

// appendOptions are those by which a longer version of file replaces it.
func appendOptions(file backend.Object) backend.PutOptions {
	a := file.Attributes()
	a.ModTime = time.Time{}
	a.Metadata = withoutDigest(a.Metadata)
	return backend.PutOptions{Attributes: a, If: backend.Condition{ETag: file.ETag}}
}
