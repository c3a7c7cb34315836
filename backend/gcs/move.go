package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// Move implements backend.Store with objects.move: one request, whatever the size, and no byte moves. A server that turns out to lack
// the call is not asked again; a 400 may be about these names alone.
func (s *Store) Move(ctx context.Context, dst, src string, opts backend.MoveOptions) (backend.Object, error) {
	if err := checkKey(dst, src); err != nil {
		return backend.Object{}, err
	}
	if dst == src || s.immobile.Load() {
		return backend.Object{}, fmt.Errorf("gcs move %s to %s: %w", src, dst, backend.ErrUnsupported)
	}
	version := generation(opts.SrcETag)
	if opts.SrcETag == "" {
		from, err := s.attrs(ctx, "move", src)
		if err != nil {
			return backend.Object{}, err
		}
		version = from.Generation
	}
	var w watch
	a, err := s.handle(src).If(storage.Conditions{GenerationMatch: version}).Move(watched(ctx, &w), storage.MoveObjectDestination{
		Object: dst, Conditions: conditions(opts.If),
	})
	if err == nil {
		return object(a), nil
	}
	code := status(err)
	err = s.wrap(ctx, "move", src+" to "+dst, err)
	lost := errors.Is(err, backend.ErrUnavailable) || w.tries > 1
	missing := errors.Is(err, backend.ErrNotExist)
	lacking := missing || errors.Is(err, backend.ErrUnsupported)
	if ctx.Err() != nil || !lost && !lacking && code != http.StatusBadRequest {
		return backend.Object{}, err
	}
	now, statErr := s.handle(src).Attrs(ctx)
	switch {
	case statErr == nil && now.Generation == version && (lacking || code == http.StatusBadRequest):
		if lacking {
			s.immobile.Store(true)
		}
		return backend.Object{}, backend.Reclass(err, backend.ErrUnsupported)
	case lost && errors.Is(statErr, storage.ErrObjectNotExist):
		if a, ok := s.arrived(ctx, dst, version, opts.If); ok {
			return object(a), nil
		}
	}
	if missing && opts.SrcETag != "" {
		err = backend.Reclass(err, backend.ErrChanged)
	}
	return backend.Object{}, err
}

// arrived reports whether a move whose answer was lost has made the object at key, the source being gone: it is newer than the source
// and not what the condition found there. Without a condition nobody knows what was there before.
func (s *Store) arrived(ctx context.Context, key string, source int64, c backend.Condition) (*storage.ObjectAttrs, bool) {
	a, err := s.handle(key).Attrs(ctx)
	if err != nil || a.Generation <= source || c == (backend.Condition{}) || c.ETag != "" && a.Generation == generation(c.ETag) {
		return nil, false
	}
	return a, true
}
