package vfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"sluice/backend"
)

// Stat implements FS. A user who may not list can ask about fixed directories and what that user uploaded through this
// Tree of late. It costs two requests at once, and a third where neither finds anything.
func (t *Tree) Stat(ctx context.Context, name string) (Info, error) {
	info, err := t.stat(ctx, name)
	if err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return info, nil
}

func (t *Tree) stat(ctx context.Context, name string) (Info, error) {
	n, err := t.resolve(name)
	switch {
	case err != nil:
		return Info{}, err
	case n.fixed:
		return dirInfo(n.base(), n.rights(), time.Time{}), nil
	case n.allow(List) != nil:
		if info, ok, err := t.statPartial(ctx, n, nil); ok || err != nil {
			return info, err
		}
		if info, ok := t.own.Get(name); ok {
			return info, nil
		}
		return Info{}, ErrPermission
	}
	e, err := t.lookup(ctx, n)
	if err != nil {
		return Info{}, err
	}
	if info, ok, err := t.statPartial(ctx, n, &e); ok || err != nil {
		return info, err
	}
	switch {
	case e.dir:
		return dirInfo(n.base(), n.rights(), e.made), nil
	case e.file != nil:
		return fileInfo(n.base(), n.rights(), *e.file), nil
	}
	return Info{}, ErrNotExist
}

func dirInfo(name string, rights Rights, made time.Time) Info {
	return Info{Name: name, Dir: true, Rights: rights, ModTime: made}
}

func fileInfo(name string, rights Rights, obj backend.Object) Info {
	return Info{Name: name, Size: obj.Size, ModTime: obj.Time().UTC(), Created: created(obj.Metadata), ETag: obj.ETag, Rights: rights, Object: obj}
}

// entry is what a name stands for: a directory, a file, or nothing.
type entry struct {
	dir  bool
	made time.Time // of a marker of the directory, if one was seen
	file *backend.Object
}

// lookup asks the store what is at n. Under backend.AllowPartial a row of a listing will do.
func (t *Tree) lookup(ctx context.Context, n node) (entry, error) {
	if backend.PartialAllowed(ctx) {
		return t.look(ctx, n, statRow)
	}
	return t.look(ctx, n, statFile)
}

// look is lookup with a way to look at the key of n.
func (t *Tree) look(ctx context.Context, n node, stat func(context.Context, node) (entry, error)) (entry, error) {
	if n.fixed || n.mount == nil {
		return entry{dir: n.fixed}, nil
	}
	limit := 1
	if n.store().Caps().ListRemembered { // whoever asks about a directory will want its listing
		limit = 0
	}
	var e, marked entry
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for row, err := range n.store().List(gctx, n.dir(), backend.ListOptions{Limit: limit}) {
			if err != nil {
				return err
			}
			e.dir = true
			if row.Key == n.dir() {
				e.made = row.Time().UTC()
			}
			break
		}
		return nil
	})
	g.Go(func() (err error) {
		marked, err = stat(gctx, n)
		return err
	})
	if err := g.Wait(); err != nil {
		return entry{}, err
	}
	if e.dir {
		if e.made.IsZero() {
			e.made = marked.made
		}
		return e, nil
	}
	if marked.dir || marked.file != nil {
		return marked, nil
	}
	return statFolder(ctx, n)
}

// surveyRows is how many rows behind a name are asked for in a large directory.
const surveyRows = 200

// survey has the listing of n's directory remembered, where the store does that, so that the questions that a change of n raises, and those
// of the next changes in this directory, need no requests: a job that sends a thousand files would ask thousands. It costs one
// request per directory and lifetime of a listing; beyond a thousand entries one more where a new name lies elsewhere. That it
// fails is no matter: the questions are asked then.
func (t *Tree) survey(ctx context.Context, n node) {
	if n.fixed || n.mount == nil || !n.store().Caps().ListRemembered {
		return
	}
	key := n.key()
	dir := key[:strings.LastIndexByte(key, '/')+1]
	_, last := utf8.DecodeLastRuneInString(key)
	for _, opts := range []backend.ListOptions{{}, {After: key[:len(key)-last], Limit: surveyRows}} {
		if opts.After == dir {
			opts.After = ""
		}
		for _, err := range n.store().List(ctx, dir, opts) {
			if err != nil {
				return
			}
			break // the rows are remembered before the first one is told
		}
	}
}

// statFile looks at the object at the key of n: a file, or somebody's marker of a directory.
func statFile(ctx context.Context, n node) (entry, error) {
	obj, err := n.store().Stat(ctx, n.key())
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return entry{}, nil
	case err != nil:
		return entry{}, err
	case isFolder(obj):
		return entry{dir: true, made: obj.Time().UTC()}, nil
	}
	return entry{file: &obj}, nil
}

// statRow is statFile for a caller to whom a row of a listing is enough: the object may be Partial. An empty one has to be looked at,
// since its metadata may make a directory of it.
func statRow(ctx context.Context, n node) (entry, error) {
	obj, err := n.store().Stat(backend.AllowPartial(ctx), n.key())
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return entry{}, nil
	case err != nil:
		return entry{}, err
	case obj.Partial && obj.Size == 0:
		return statFile(ctx, n)
	case isFolder(obj):
		return entry{dir: true, made: obj.Time().UTC()}, nil
	}
	return entry{file: &obj}, nil
}

// statFolder looks for the marker "dir_$folder$".
func statFolder(ctx context.Context, n node) (entry, error) {
	key := n.key() + folderSuffix
	if len(key) > n.store().Caps().MaxKey {
		return entry{}, nil
	}
	obj, err := n.store().Stat(ctx, key)
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return entry{}, nil
	case err != nil:
		return entry{}, err
	}
	return entry{dir: true, made: obj.Time().UTC()}, nil
}

// markerType is the media type of markers: ours, and those of s3fs, which once had the name of the directory without a slash.
const markerType = "application/x-directory"

// isFolder reports whether an object marks a directory of its own name: as Azure tools and rclone write it, or as s3fs did.
func isFolder(obj backend.Object) bool {
	return strings.EqualFold(obj.Metadata["hdi_isfolder"], "true") || obj.Size == 0 && obj.ContentType == markerType
}

// enter returns nil if n is a directory, else ErrNotDir or ErrNotExist. That is one request if anything lies in n.
func (t *Tree) enter(ctx context.Context, n node) error {
	if n.fixed {
		return nil
	}
	if n.mount == nil {
		return ErrNotExist
	}
	found, err := rows(ctx, n.store(), n.dir(), 1)
	if err != nil || len(found) > 0 {
		return err
	}
	return t.enterMarked(ctx, n)
}

// enterMarked is enter for what has no key below it.
func (t *Tree) enterMarked(ctx context.Context, n node) error {
	e, err := statFile(ctx, n)
	if err == nil && !e.dir && e.file == nil {
		e, err = statFolder(ctx, n)
	}
	switch {
	case err != nil:
		return err
	case e.dir:
		return nil
	case e.file != nil:
		return ErrNotDir
	}
	return ErrNotExist
}

// rows returns the first rows of a listing, at most limit.
func rows(ctx context.Context, store backend.Store, prefix string, limit int) ([]backend.Entry, error) {
	var found []backend.Entry
	for row, err := range store.List(ctx, prefix, backend.ListOptions{Limit: limit}) {
		if err != nil {
			return nil, err
		}
		if found = append(found, row); len(found) == limit {
			break
		}
	}
	return found, nil
}

// mark writes the marker of a directory. One that exists is left alone: ErrChanged.
func mark(ctx context.Context, store backend.Store, dir string) error {
	_, err := store.Put(ctx, dir, nil, backend.PutOptions{
		Attributes: backend.Attributes{ContentType: markerType},
		If:         backend.Condition{Absent: true},
	})
	return err
}

// keep makes sure that the directory dir, a key prefix, outlives the removal of the keys and prefixes gone from it: if nothing
// else is in it, it gets a marker. It is called before they go, so that a crash between leaves a directory too many, not
// one too few.
func keep(ctx context.Context, store backend.Store, dir string, gone ...string) error {
	left, err := rows(ctx, store, dir, len(gone)+1)
	if err != nil {
		return err
	}
	for _, row := range left {
		if !slices.Contains(gone, row.Key) {
			return nil
		}
	}
	if err := mark(ctx, store, dir); err != nil && !errors.Is(err, backend.ErrChanged) {
		return err
	}
	return nil
}

// keepParent is keep for the directory that n is in.
func (t *Tree) keepParent(ctx context.Context, n node, gone ...string) error {
	if p := t.parent(n); !p.fixed {
		return keep(ctx, n.store(), p.dir(), gone...)
	}
	return nil
}
