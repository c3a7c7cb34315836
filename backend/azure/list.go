package azure

import (
	"context"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"sluice/backend"
)

// List implements backend.Store with List Blobs.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		next := s.pager(prefix, opts)
		rows := sorter{after: opts.After, prefix: len(prefix), yield: func(e backend.Entry) bool {
			if err := ctx.Err(); err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
				return false
			}
			return yield(e, nil)
		}}
		for more := true; more; {
			var page []backend.Entry
			var err error
			opts.Ask()()
			if page, more, err = next(ctx); err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
				return
			}
			for _, e := range page {
				if !rows.add(e) {
					return
				}
			}
		}
		rows.flush()
	}
}

// pager returns a function that asks for one page after the other. A page may be empty and not the last.
func (s *Store) pager(prefix string, opts backend.ListOptions) func(context.Context) (page []backend.Entry, more bool, err error) {
	include := container.ListBlobsInclude{Metadata: true}
	var from *string
	if start := bound(opts.After); start != "" {
		from = &start
	}
	if opts.Recursive {
		p := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: include, Prefix: &prefix, StartFrom: from, MaxResults: s.page(opts.Limit)})
		return func(ctx context.Context) ([]backend.Entry, bool, error) {
			r, err := p.NextPage(ctx)
			if err != nil || r.Segment == nil {
				return nil, p.More(), err
			}
			return rows(r.Segment.BlobItems, nil), p.More(), nil
		}
	}
	p := s.container.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Include: include, Prefix: &prefix, StartFrom: from, MaxResults: s.page(opts.Limit)})
	return func(ctx context.Context) ([]backend.Entry, bool, error) {
		r, err := p.NextPage(ctx)
		if err != nil || r.Segment == nil {
			return nil, p.More(), err
		}
		return rows(r.Segment.BlobItems, r.Segment.BlobPrefixes), p.More(), nil
	}
}

func (s *Store) page(limit int) *int32 {
	const most = 5000 // of the service
	n := s.cfg.PageSize
	if n <= 0 || n > most {
		n = most
	}
	if limit > 0 {
		n = min(n, limit)
	}
	return to.Ptr(int32(n)) // #nosec G115 -- at most 5000
}

// rows merges the objects and the common prefixes of one answer, each of which is in the server's order.
func rows(items []*container.BlobItem, prefixes []*container.BlobPrefix) []backend.Entry {
	page := make([]backend.Entry, 0, len(items)+len(prefixes))
	for len(items) > 0 || len(prefixes) > 0 {
		if len(prefixes) > 0 && (len(items) == 0 || before(value(prefixes[0].Name), value(items[0].Name))) {
			page = append(page, backend.Entry{Object: backend.Object{Key: value(prefixes[0].Name)}, Prefix: true})
			prefixes = prefixes[1:]
			continue
		}
		page = append(page, backend.Entry{Object: row(items[0])})
		items = items[1:]
	}
	return page
}

func row(b *container.BlobItem) backend.Object {
	o := backend.Object{Key: value(b.Name)}
	if p := b.Properties; p != nil {
		o.Size, o.Updated, o.ETag, o.ContentType = value(p.ContentLength), value(p.LastModified), quoted(p.ETag), value(p.ContentType)
		o.StorageClass, o.Archived = class((*string)(p.AccessTier), p.AccessTierInferred), archived((*string)(p.AccessTier))
		o.Partial = p.CustomerProvidedKeySHA256 != nil // its metadata is not shown
	}
	if !o.Partial {
		setMetadata(&o, b.Metadata)
	}
	return o
}

// beyond is the first byte of the characters from U+E000 on. UTF-16 has those above U+FFFF, whose first bytes are 0xF0 and
// more, in front of them.
const beyond = 0xee

// before reports whether a comes before b in the order of UTF-16, in which servers may list.
func before(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return len(a) < len(b)
	}
	if a[i] >= beyond && b[i] >= beyond && (a[i] >= 0xf0) != (b[i] >= 0xf0) {
		return a[i] >= 0xf0
	}
	return a[i] < b[i]
}

// bound is a key at or before every key that follows after, in either order.
func bound(after string) string {
	if i := strings.IndexFunc(after, func(r rune) bool { return r >= 0xe000 }); i >= 0 {
		return after[:i]
	}
	return after
}

// sorter passes entries on in the order of their bytes. They come in that order or in that of UTF-16; the two differ only among
// keys that are the same up to a character above U+DFFF, and these are kept until they are all there.
type sorter struct {
	after  string // entries up to this key are dropped
	prefix int    // length of what all keys have in common
	yield  func(backend.Entry) bool
	stem   string // what the kept ones have in common
	kept   []backend.Entry
}

// add takes the next entry. It returns false when no more is wanted.
func (s *sorter) add(e backend.Entry) bool {
	if len(s.kept) > 0 {
		if rest, ok := strings.CutPrefix(e.Key, s.stem); ok && rest != "" && rest[0] >= beyond {
			s.kept = append(s.kept, e)
			return true
		}
		if !s.flush() {
			return false
		}
	}
	if i := strings.IndexFunc(e.Key[min(s.prefix, len(e.Key)):], func(r rune) bool { return utf8.RuneLen(r) == 4 }); i >= 0 {
		s.stem, s.kept = e.Key[:s.prefix+i], append(s.kept, e)
		return true
	}
	return s.pass(e)
}

// flush passes on what was kept.
func (s *sorter) flush() bool {
	slices.SortFunc(s.kept, func(a, b backend.Entry) int { return strings.Compare(a.Key, b.Key) })
	for _, e := range s.kept {
		if !s.pass(e) {
			return false
		}
	}
	s.kept = s.kept[:0]
	return true
}

func (s *sorter) pass(e backend.Entry) bool {
	if e.Key <= s.after { // a folder around it, or one that goes on from page to page
		return true
	}
	s.after = e.Key
	return s.yield(e)
}
