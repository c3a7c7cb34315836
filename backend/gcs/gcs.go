// Package gcs is a backend.Store over Google Cloud Storage. It knows nothing of files and directories; cmd/sluice opens it, the
// engine and the cache use it.
//
// The version of an object is its generation. What changes attributes alone, as Copy of an object onto itself does, keeps the
// generation.
//
// # Uploads in parts
//
// Cloud Storage joins objects on the server (compose), 32 at a time and any number of times. So a part is an object of its own,
// below ".sluice/parts/" and the id of its upload, and Commit composes them. Compared with a resumable session, parts overlap and
// can be sent again from memory; compared with the multipart uploads of the XML API, the end may have a condition. A listing
// does not show these objects, and their keys are refused. What a killed process leaves there can be found again by ResumeUpload. A
// lifecycle rule that deletes below that prefix what is older than any upload takes what nobody looks for.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// caps are the limits of Cloud Storage ("Quotas & limits"). Components of a composed object are not counted any more.
var caps = backend.Caps{
	Name: "gcs", MaxKey: 1024, MaxObject: 5 << 40, MaxPut: 5 << 40,
	MinPart: 1, MaxPart: 5 << 40, MaxParts: 10_000, PartConcurrency: 8,
	CopyPart: true, CopyWhole: true, MaxCopyPart: 5 << 40, MaxCopy: 5 << 40, Move: true, Conditional: true, ListMetadata: true,
}

// Store is one bucket.
type Store struct {
	client   *storage.Client
	http     *http.Client
	wire     *transport // below it
	bucket   *storage.BucketHandle
	cfg      Config
	endpoint string // without a slash behind it; empty: the SDK's
	key      []byte // customer key; nil: none
	retry    patience
	slice    int64       // bytes of a range that are copied in one go
	immobile atomic.Bool // the server has no objects.move
}

var _ backend.Store = (*Store)(nil)

// Caps implements backend.Store.
func (s *Store) Caps() backend.Caps { return caps }

// checkKey refuses the keys that no store takes, and those of parts.
func checkKey(keys ...string) error {
	for _, key := range keys {
		if err := backend.CheckKey(key, caps.MaxKey); err != nil {
			return err
		}
		if strings.HasPrefix(key, hidden) {
			return fmt.Errorf("begins with %s: %w", hidden, backend.ErrBadKey)
		}
	}
	return nil
}

// handle is the SDK's name for an object.
func (s *Store) handle(key string) *storage.ObjectHandle {
	h := s.bucket.Object(key)
	if s.key != nil {
		h = h.Key(s.key)
	}
	return h
}

// generation reads an ETag. One that this store cannot have made is the generation of no object.
func generation(etag string) int64 {
	g, err := strconv.ParseInt(etag, 10, 64)
	if err != nil || g <= 0 {
		return 1 // a generation is a time in microseconds
	}
	return g
}

// under puts a condition on what is done to h.
func under(h *storage.ObjectHandle, c backend.Condition) *storage.ObjectHandle {
	if conds := conditions(c); conds != nil {
		return h.If(*conds)
	}
	return h
}

func conditions(c backend.Condition) *storage.Conditions {
	switch {
	case c.Absent:
		return &storage.Conditions{DoesNotExist: true}
	case c.ETag != "":
		return &storage.Conditions{GenerationMatch: generation(c.ETag)}
	}
	return nil
}

// unmet makes ErrChanged of a missing object where the condition asks for one.
func unmet(c backend.Condition, err error) error {
	if c.ETag != "" && errors.Is(err, backend.ErrNotExist) {
		return backend.Reclass(err, backend.ErrChanged)
	}
	return err
}

// attrs asks for everything about an object.
func (s *Store) attrs(ctx context.Context, op, key string) (*storage.ObjectAttrs, error) {
	a, err := s.handle(key).Attrs(ctx)
	if err != nil {
		return nil, s.wrap(ctx, op, key, err)
	}
	return a, nil
}

// Stat implements backend.Store with objects.get.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := checkKey(key); err != nil {
		return backend.Object{}, err
	}
	a, err := s.attrs(ctx, "stat", key)
	if err != nil {
		return backend.Object{}, err
	}
	o := object(a)
	if backend.ChecksumsWanted(ctx) {
		o.Checksums = checksums(a)
	}
	return o, nil
}

// Put implements backend.Store with objects.insert, in one request.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := checkKey(key); err != nil {
		return backend.Object{}, err
	}
	if int64(len(p)) > caps.MaxPut {
		return backend.Object{}, fmt.Errorf("gcs put %s: %w", key, backend.ErrTooLarge)
	}
	sum := crc32.Checksum(p, castagnoli)
	var w watch
	a, err := s.send(watched(ctx, &w), under(s.handle(key), opts.If), s.describeAs(key, opts.Attributes), known(p, sum))
	if err != nil {
		err = unmet(opts.If, s.wrap(ctx, "put", key, err))
		if backend.Doubtful(err, w.tries) {
			a, err = s.made(ctx, key, int64(len(p)), sum, err)
		}
		if err != nil {
			return backend.Object{}, err
		}
	}
	return object(a), nil
}

// Restore implements backend.Store: objects of every class can be read at once.
func (s *Store) Restore(_ context.Context, key string, _ backend.RestoreOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return fmt.Errorf("gcs restore %s: %w", key, backend.ErrUnsupported)
}

// Delete implements backend.Store with objects.delete.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	var w watch
	err := under(s.bucket.Object(key), backend.Condition{ETag: opts.ETag}).Delete(watched(ctx, &w))
	if err == nil {
		return nil
	}
	err = s.wrap(ctx, "delete", key, err)
	gone := errors.Is(err, backend.ErrNotExist)
	if errors.Is(err, backend.ErrChanged) && w.tries > 1 { // the second try may meet what the first one has done
		_, statErr := s.Stat(ctx, key)
		gone = errors.Is(statErr, backend.ErrNotExist)
	}
	switch {
	case !gone:
		return err
	case opts.ETag != "" && w.tries == 1:
		return backend.Reclass(err, backend.ErrChanged)
	}
	return nil
}
