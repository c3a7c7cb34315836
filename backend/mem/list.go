package mem

import (
	"context"
	"iter"
	"slices"
	"strings"

	"sluice/backend"
)

// List implements backend.Store. Each page is a snapshot of its own, as in a real store.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		after, more := opts.After, true
		for more {
			opts.Ask()()
			if err := s.begin(ctx, "list", prefix); err != nil {
				yield(backend.Entry{}, err)
				return
			}
			var page []backend.Entry
			page, more = s.page(prefix, after, opts.Recursive)
			if err := s.end("list", prefix); err != nil {
				yield(backend.Entry{}, err)
				return
			}
			for _, e := range page {
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, err)
					return
				}
				if !yield(e, nil) {
					return
				}
				after = e.Key
			}
		}
	}
}

// page returns the entries behind after, and whether there may be more of them.
func (s *Store) page(prefix, after string, recursive bool) (page []backend.Entry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearch(s.keys, max(prefix, after))
	for i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix) {
		if len(page) == s.cfg.Page {
			return page, true
		}
		key := s.keys[i]
		if slash := strings.IndexByte(key[len(prefix):], '/'); slash >= 0 && !recursive {
			dir := key[:len(prefix)+slash+1]
			if dir > after {
				page = append(page, backend.Entry{Object: backend.Object{Key: dir}, Prefix: true})
			}
			i, _ = slices.BinarySearch(s.keys, dir[:len(dir)-1]+"0") // "0" is what follows "/"
			continue
		}
		if key > after {
			o := s.objects[key].Object
			if !s.caps.ListMetadata {
				o.Partial = true
				o.ModTime, o.ContentType, o.Metadata = backend.Object{}.ModTime, "", nil
			}
			page = append(page, backend.Entry{Object: o})
		}
		i++
	}
	return page, false
}
