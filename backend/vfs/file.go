package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"sluice/backend"
	"sluice/backend/transfer"
)

// Open implements FS. It is one request: a file is read even where a directory has the same name.
func (t *Tree) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, Info, error) {
	body, info, err := t.open(ctx, name, offset)
	if err != nil {
		return nil, Info{}, fmt.Errorf("open %s: %w", name, err)
	}
	return body, info, nil
}

func (t *Tree) open(ctx context.Context, name string, offset int64) (io.ReadCloser, Info, error) {
	n, err := t.resolve(name)
	switch {
	case err != nil:
		return nil, Info{}, err
	case n.fixed:
		return nil, Info{}, ErrIsDir
	case n.mount == nil:
		return nil, Info{}, ErrNotExist
	case offset < 0:
		return nil, Info{}, ErrOffset
	}
	if err := n.allow(Read); err != nil {
		return nil, Info{}, err
	}
	body, obj, err := t.engine.Open(ctx, n.store(), n.key(), transfer.OpenOptions{Offset: offset})
	switch {
	case errors.Is(err, backend.ErrNotExist):
		if err := t.enter(ctx, n); err != nil {
			return nil, Info{}, err
		}
		return nil, Info{}, ErrIsDir
	case errors.Is(err, backend.ErrRange):
		return nil, Info{}, ErrOffset
	case err != nil:
		return nil, Info{}, err
	case isFolder(obj):
		body.Close()
		return nil, Info{}, ErrIsDir
	}
	return body, fileInfo(n.base(), n.rights(), obj), nil
}

// Put implements FS. The directory of a new file must exist, ErrNotExist otherwise, and a new file has no place to go on at but its
// beginning, ErrOffset; the first costs one request, for new files
// below the top of a mount alone.
//
// Without the right to overwrite, with PutOptions.Create, with a conflict rule other than ConflictOverwrite, and at the end of a
// file that did not exist, the commit demands that there is still no such file; where there is one by then, the upload is lost, with
// ErrExist. The Info that ConflictRename leads to has the new name.
func (t *Tree) Put(ctx context.Context, name string, offset int64, r io.Reader, opts PutOptions) (Info, error) {
	info, err := t.put(ctx, name, offset, r, opts)
	if err != nil {
		return Info{}, fmt.Errorf("put %s: %w", name, err)
	}
	return info, nil
}

func (t *Tree) put(ctx context.Context, name string, offset int64, r io.Reader, opts PutOptions) (Info, error) {
	n, err := t.resolve(name)
	if err != nil {
		return Info{}, err
	}
	if n.change() != nil || n.rights()&(Create|Overwrite|Append) == 0 {
		return Info{}, ErrPermission
	}
	if offset < AtEnd {
		return Info{}, ErrOffset
	}
	t.survey(ctx, n)
	stat := statRow
	if offset != 0 { // what is appended to keeps its metadata
		stat = statFile
	}
	e, err := t.look(ctx, n, stat)
	if err != nil {
		return Info{}, err
	}
	up := transfer.UploadOptions{Size: opts.Size}
	if !opts.Create {
		switch obj, done, err := t.resumed(ctx, n, e, offset, r, opts); {
		case err != nil:
			return Info{}, err
		case done:
			t.remember(n, obj)
			return fileInfo(path.Base(obj.Key), n.rights(), obj), nil
		}
		up.Resume = t.resumption(n, e)
	}
	up.ModTime = opts.ModTime
	up.ContentType, up.StorageClass = contentType(n.base()), n.mount.StorageClass
	var obj backend.Object
	switch {
	case e.dir:
		return Info{}, ErrIsDir
	case e.file == nil:
		if err := t.mayCreate(ctx, n, offset); err != nil {
			return Info{}, err
		}
		up.If.Absent = opts.Create || offset == AtEnd || n.mount.OnConflict != ConflictOverwrite || !n.rights().Has(Overwrite)
		obj, err = t.engine.Upload(ctx, n.store(), n.key(), r, up)
	case opts.Create:
		return Info{}, ErrExist
	case offset != 0:
		obj, err = t.append(ctx, n, *e.file, offset, r, up)
	default:
		if n, err = t.settle(ctx, n); err != nil {
			return Info{}, err
		}
		up.If.Absent = n.mount.OnConflict == ConflictRename
		obj, err = t.engine.Upload(ctx, n.store(), n.key(), r, up)
	}
	if err != nil {
		if up.If.Absent && errors.Is(err, backend.ErrChanged) {
			return Info{}, fmt.Errorf("%w: %s", ErrExist, err.Error())
		}
		return Info{}, err
	}
	t.remember(n, obj)
	return fileInfo(n.base(), n.rights(), obj), nil
}

// mayCreate checks whether the file n, which does not exist, may be made by a Put at offset.
func (t *Tree) mayCreate(ctx context.Context, n node, offset int64) error {
	if offset > 0 {
		return ErrOffset
	}
	if err := n.allow(Create); err != nil {
		return err
	}
	return t.enter(ctx, t.parent(n))
}

// append replaces the file from offset on.
func (t *Tree) append(ctx context.Context, n node, file backend.Object, offset int64, r io.Reader, up transfer.UploadOptions) (backend.Object, error) {
	if err := n.allow(Append); err != nil {
		return backend.Object{}, err
	}
	if offset == AtEnd {
		offset = file.Size
	}
	switch {
	case offset > file.Size:
		return backend.Object{}, fmt.Errorf("%d of %d: %w", offset, file.Size, ErrOffset)
	case file.Archived:
		return backend.Object{}, backend.ErrArchived
	}
	when := up.ModTime
	up.PutOptions = appendOptions(n, file)
	up.ModTime = when
	return t.engine.Append(ctx, n.store(), file, offset, r, up)
}

// settle applies the conflict rule to n, whose file exists, and returns where the upload goes.
func (t *Tree) settle(ctx context.Context, n node) (node, error) {
	switch n.mount.OnConflict {
	case ConflictRefuse:
		return node{}, ErrExist
	case ConflictRename:
		if err := n.allow(Create); err != nil {
			return node{}, err
		}
		return t.nextFree(ctx, n)
	}
	return n, n.allow(Overwrite)
}

// nextFree returns the node "name (i).ext" beside n with the lowest i above all that are taken.
func (t *Tree) nextFree(ctx context.Context, n node) (node, error) {
	base := n.base()
	ext := path.Ext(base)
	if ext == base { // ".profile"
		ext = ""
	}
	stem := strings.TrimSuffix(n.key(), ext) + " ("
	last := 0
	for row, err := range n.store().List(ctx, stem, backend.ListOptions{}) {
		if err != nil {
			return node{}, err
		}
		number, _ := strings.CutPrefix(strings.TrimSuffix(strings.TrimSuffix(row.Key, "/"), folderSuffix), stem)
		number, ok := strings.CutSuffix(number, ")"+ext)
		if i, err := strconv.Atoi(number); ok && err == nil && i > last && i < 1e9 {
			last = i
		}
	}
	dir, _ := path.Split(n.name)
	return t.resolve(fmt.Sprintf("%s%s (%d)%s", dir, strings.TrimSuffix(base, ext), last+1, ext))
}
