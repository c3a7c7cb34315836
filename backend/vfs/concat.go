package vfs

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
	"sluice/backend/transfer"
)

// lookups is how many files Concat looks at, or deletes, at once.
const lookups = 8

// Concat implements FS, as the COMB of CuteFTP and its servers does it. It takes the rights to read and delete the files, and
// to append to the file to, or to create it. Inside a store nothing passes through this process but what follows a file
// that is smaller than the store's parts. A new file has the attributes of any new file, and one that exists keeps its own but for
// the time.
//
// Once the file is whole there is no way back. Of the others, one that has been replaced since it was read stays, and so
// does one that the store does not delete in several attempts. Neither is an error: who tries again would add everything
// once more. After a crash at that moment, files are left in the same way.
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
	put.ContentType, put.StorageClass = contentType(dst.base()), dst.mount.StorageClass
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
		put = appendOptions(dst, *old.file)
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

// appendOptions are those by which a longer version of file replaces it at n.
func appendOptions(n node, file backend.Object) backend.PutOptions {
	a := file.Attributes()
	a.StorageClass = cmp.Or(n.mount.StorageClass, a.StorageClass)
	a.ModTime = time.Time{}
	a.Metadata = withoutDigest(a.Metadata)
	return backend.PutOptions{Attributes: a, If: backend.Condition{ETag: file.ETag}}
}
