package gcs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// Open implements backend.Store with GET of the XML API, which names metadata in its headers. A body that breaks is continued by
// the SDK, from the same generation.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := checkKey(key); err != nil {
		return nil, backend.Object{}, err
	}
	return s.open(ctx, key, opts)
}

func (s *Store) open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if opts.Offset < 0 {
		return nil, backend.Object{}, fmt.Errorf("gcs open %s at %d: %w", key, opts.Offset, backend.ErrRange)
	}
	length := int64(-1)
	if opts.Length > 0 {
		length = opts.Length
	}
	var w watch
	pinned := backend.Condition{ETag: opts.ETag}
	h := under(s.handle(key), pinned).ReadCompressed(true) // or gzip objects come unpacked, and ranges of them whole
	r, err := h.NewRangeReader(watched(ctx, &w), opts.Offset, length)
	if err != nil {
		err = s.wrap(ctx, "open", key, err)
		if errors.Is(err, backend.ErrRange) {
			return s.openEnd(ctx, key, opts, err)
		}
		return nil, backend.Object{}, err
	}
	a := r.Attrs
	o := backend.Object{
		Key: key, Size: a.Size, Updated: a.LastModified, ETag: strconv.FormatInt(a.Generation, 10), ContentType: a.ContentType, StorageClass: class(w.class),
	}
	o.Metadata, o.ModTime = readMetadata(r.Metadata())
	switch {
	case a.StartOffset != opts.Offset:
		err = s.failure("open", key, backend.ErrDamaged, fmt.Errorf("asked for offset %d, got %d", opts.Offset, a.StartOffset))
	case opts.ETag != "" && o.ETag != opts.ETag: // a server that knows no conditions
		err = s.changed("open", key, o.ETag, opts.ETag)
	case !plain(o.Metadata):
		o, err = s.same(ctx, key, o)
	}
	if err != nil {
		_ = r.Close()
		return nil, backend.Object{}, err
	}
	if opts.Offset == 0 && opts.Length == 0 && a.CRC32C != 0 && !a.Decompressed { // 0: it was not told, as good as always
		o.Checksums = map[string][]byte{"CRC32C": binary.BigEndian.AppendUint32(nil, a.CRC32C)}
	}
	return &body{ReadCloser: r, ctx: ctx, store: s, key: key, watch: &w}, o, nil
}

// plain reports whether metadata from headers is surely what was stored: a header has no way to hold other letters, so that a
// server may have encoded them or put a question mark in their place.
func plain(m map[string]string) bool {
	for _, v := range m {
		if strings.ContainsAny(v, "?%") || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

// same asks for the attributes of the version o that is being read.
func (s *Store) same(ctx context.Context, key string, o backend.Object) (backend.Object, error) {
	a, err := s.handle(key).Attrs(ctx)
	if err != nil {
		err = s.wrap(ctx, "open", key, err)
		if errors.Is(err, backend.ErrNotExist) {
			err = backend.Reclass(err, backend.ErrChanged)
		}
		return backend.Object{}, err
	}
	now := object(a)
	if now.ETag != o.ETag {
		return backend.Object{}, s.changed("open", key, now.ETag, o.ETag)
	}
	return now, nil
}

// openEnd answers a range that holds no byte: it is refused even where it begins at the end.
func (s *Store) openEnd(ctx context.Context, key string, opts backend.OpenOptions, refusal error) (io.ReadCloser, backend.Object, error) {
	a, err := s.attrs(ctx, "open", key)
	if err != nil {
		return nil, backend.Object{}, err
	}
	o := object(a)
	switch {
	case opts.ETag != "" && o.ETag != opts.ETag:
		return nil, backend.Object{}, s.changed("open", key, o.ETag, opts.ETag)
	case opts.Offset != o.Size:
		return nil, backend.Object{}, refusal
	}
	return io.NopCloser(bytes.NewReader(nil)), o, nil
}

// body is the content of an object on its way. A break in it is worth another try, unless the version is gone.
type body struct {
	io.ReadCloser
	ctx   context.Context // of Open, which governs the read
	store *Store
	key   string
	watch *watch // of its requests
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, b.store.wrap(b.ctx, "read", b.key, err)
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	if b.ctx.Err() != nil {
		return n, b.store.wrap(b.ctx, "read", b.key, err)
	}
	if errors.Is(err, storage.ErrObjectNotExist) || status(err) == http.StatusPreconditionFailed {
		return n, b.store.failure("read", b.key, backend.ErrChanged, err)
	}
	class := classify(err)
	if !errors.Is(class, backend.ErrUnavailable) { // what could be opened is there to be read, later
		class = backend.ErrUnavailable
	}
	f := b.store.failure("read", b.key, class, err)
	if f.Request == "" {
		f.Request = b.watch.request
	}
	return n, f
}
