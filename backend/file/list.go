package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/backend"
)

// item is an object or a folder in a folder.
type item struct {
	key string // of the folder it ends in "/"
	dir string // path of the folder, ending in "/"; empty for an object
}

// List implements backend.Store. It holds the names of the folders on the way to the current entry, not those of the tree.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		w := walk{s: s, ctx: ctx, prefix: prefix, opts: opts, yield: yield}
		above := prefix[:strings.LastIndexByte(prefix, '/')+1]
		if err := w.folder(above, folder(above)); err != nil && !errors.Is(err, errStop) {
			yield(backend.Entry{}, fmt.Errorf("list %q: %w", prefix, classify(err)))
		}
	}
}

// errStop says that the caller wants no more.
var errStop = errors.New("stop")

// walk is one listing.
type walk struct {
	s      *Store
	ctx    context.Context
	prefix string
	opts   backend.ListOptions
	yield  func(backend.Entry, error) bool
}

// folder yields what is below the key prefix above, in the folder dir.
func (w *walk) folder(above, dir string) error {
	items, err := w.s.items(w.ctx, above, dir)
	if err != nil {
		return err
	}
	for _, it := range items {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		switch {
		case !strings.HasPrefix(it.key, w.prefix) && (it.dir == "" || !strings.HasPrefix(w.prefix, it.key)):
		case it.key <= w.opts.After && (it.dir == "" || !w.opts.Recursive || !strings.HasPrefix(w.opts.After, it.key)):
		case it.dir != "" && w.opts.Recursive:
			err = w.folder(it.key, it.dir)
		case it.dir != "":
			var some bool
			if some, err = w.s.inhabited(w.ctx, it.key, it.dir); err == nil && some {
				err = w.emit(backend.Entry{Object: backend.Object{Key: it.key, Updated: w.s.changed(it.dir)}, Prefix: true})
			}
		default:
			var o backend.Object
			if o, _, err = w.s.stat(it.key); err == nil {
				err = w.emit(backend.Entry{Object: o})
			} else if errors.Is(err, backend.ErrNotExist) { // deleted meanwhile
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) emit(e backend.Entry) error {
	if !w.yield(e, nil) {
		return errStop
	}
	return nil
}

// items returns what is in the folder dir, in the order of keys: a folder stands where its keys stand, so a-b comes before a/.
func (s *Store) items(ctx context.Context, above, dir string) ([]item, error) {
	var items []item
	err := s.scan(ctx, dir, "", func(name string, isDir bool) bool {
		if it, ok := s.item(above, dir, name, isDir); ok {
			items = append(items, it)
		}
		return true
	})
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.key, b.key) })
	return slices.Compact(items), err // an object may have both of its names
}

// item makes an item of a path below dir, if it is one.
func (s *Store) item(above, dir, name string, isDir bool) (item, bool) {
	seg, ok := segment(name, isDir)
	it := item{key: above + seg}
	if isDir {
		it.key += "/"
		it.dir = dir + name + "/"
	}
	// A key may be refused for what was put there by others: a name that is not UTF-8, or is too long.
	return it, ok && backend.CheckKey(it.key, s.Caps().MaxKey) == nil
}

// scan calls found with the paths below dir/way that stand for one segment each, until it returns false.
func (s *Store) scan(ctx context.Context, dir, way string, found func(name string, isDir bool) bool) error {
	f, err := s.root.OpenFile(cmp.Or(dir+way, "."), os.O_RDONLY, 0)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := f.ReadDir(1000)
		for _, e := range entries {
			switch name := way + e.Name(); {
			case e.IsDir() && strings.HasPrefix(e.Name(), longMark):
				more := true
				if err := s.scan(ctx, dir, name+"/", func(name string, isDir bool) bool {
					more = found(name, isDir)
					return more
				}); err != nil || !more {
					return err
				}
			case e.IsDir() || e.Type().IsRegular():
				if !found(name, e.IsDir()) {
					return nil
				}
			}
		}
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// changed is when something last came into the folder dir or went from it; zero if it is gone itself.
func (s *Store) changed(dir string) time.Time {
	fi, err := s.root.Lstat(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime().UTC()
}

// inhabited reports whether there is an object anywhere below dir.
func (s *Store) inhabited(ctx context.Context, above, dir string) (bool, error) {
	var some bool
	var below []item
	err := s.scan(ctx, dir, "", func(name string, isDir bool) bool {
		if it, ok := s.item(above, dir, name, isDir); ok && isDir {
			below = append(below, it)
		} else if ok {
			some = true
		}
		return !some
	})
	for _, it := range below {
		if some || err != nil {
			break
		}
		some, err = s.inhabited(ctx, it.key, it.dir)
	}
	return some, err
}
