package gcs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// hidden is where the parts of uploads are kept.
const hidden = ".sluice/parts/"

// rows are the attributes that a listing asks for.
var rows = []string{"Name", "Size", "Updated", "Generation", "ContentType", "StorageClass", "Metadata"}

// List implements backend.Store with objects.list.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		q := &storage.Query{Prefix: prefix, StartOffset: opts.After, Projection: storage.ProjectionNoACL}
		if !opts.Recursive {
			q.Delimiter = "/"
		}
		if err := q.SetAttrSelection(rows); err != nil {
			yield(backend.Entry{}, fmt.Errorf("gcs list %s: %w", prefix, err))
			return
		}
		it := s.bucket.Objects(ctx, q)
		it.PageInfo().MaxSize = s.page(opts.Limit)
		for last := opts.After; ; {
			opts.Ask()()
			entries, err := page(it)
			if err == nil {
				entries, err = s.visible(ctx, entries)
			}
			if errors.Is(err, errDone) {
				return
			}
			if err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
				return
			}
			for _, e := range entries {
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
					return
				}
				if e.Key <= last { // After itself, a folder around it, or one that goes on from page to page
					continue
				}
				last = e.Key
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (s *Store) page(limit int) int {
	n := s.cfg.PageSize
	if n <= 0 {
		n = 1000
	}
	if limit > 0 {
		n = min(n, limit)
	}
	return min(n, 1000)
}

// page takes the next answer of the store out of the iterator, which has its objects first and its common prefixes behind them, and puts
// it in order. Answers without rows are passed over.
func page(it *storage.ObjectIterator) ([]backend.Entry, error) {
	var entries []backend.Entry
	for len(entries) == 0 || it.PageInfo().Remaining() > 0 {
		a, err := it.Next()
		if err != nil {
			return nil, err
		}
		if a.Prefix != "" {
			entries = append(entries, backend.Entry{Object: backend.Object{Key: a.Prefix}, Prefix: true})
			continue
		}
		entries = append(entries, backend.Entry{Object: object(a)})
	}
	slices.SortFunc(entries, func(a, b backend.Entry) int { return strings.Compare(a.Key, b.Key) })
	return entries, nil
}

// visible leaves out the parts of uploads, and the folders that hold nothing else.
func (s *Store) visible(ctx context.Context, entries []backend.Entry) ([]backend.Entry, error) {
	var failed error
	entries = slices.DeleteFunc(entries, func(e backend.Entry) bool {
		switch {
		case strings.HasPrefix(e.Key, hidden):
			return true
		case !e.Prefix || !strings.HasPrefix(hidden, e.Key):
			return false
		}
		others, err := s.others(ctx, e.Key)
		failed = errors.Join(failed, err)
		return !others
	})
	return entries, failed
}

// others reports whether there is anything below a prefix of hidden besides hidden.
func (s *Store) others(ctx context.Context, prefix string) (bool, error) {
	behind := strings.TrimSuffix(hidden, "/") + "0" // the next letter
	for _, q := range []storage.Query{{Prefix: prefix, EndOffset: hidden}, {Prefix: prefix, StartOffset: behind}} {
		q.Projection = storage.ProjectionNoACL
		it := s.bucket.Objects(ctx, &q)
		it.PageInfo().MaxSize = 1
		switch _, err := it.Next(); {
		case err == nil:
			return true, nil
		case !errors.Is(err, errDone):
			return false, err
		}
	}
	return false, nil
}
