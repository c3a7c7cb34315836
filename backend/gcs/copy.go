package gcs

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// maxRaces is how often an operation begins anew because the object changed between looking at it and acting on it.
const maxRaces = 5

// Copy implements backend.Store with objects.rewrite, as often as the store asks for it. The attributes are named in full, since
// a copy would come into the default class of the bucket otherwise.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	if err := checkKey(dst, src); err != nil {
		return backend.Object{}, err
	}
	for try := 1; ; try++ {
		from, err := s.source(ctx, "copy", src, opts.SrcETag)
		if err != nil {
			return backend.Object{}, err
		}
		var a *storage.ObjectAttrs
		if opts.Replace != nil && dst == src {
			a, err = s.replace(ctx, from, opts)
		} else {
			attrs := keep(from)
			if opts.StorageClass != "" {
				attrs.StorageClass = opts.StorageClass
			}
			s.cfg.Protection.apply(dst, &attrs)
			if opts.Replace != nil {
				attrs = s.describeAs(dst, *opts.Replace)
			}
			a, err = s.rewrite(ctx, dst, from, attrs, opts.If)
		}
		if err == nil {
			return object(a), nil
		}
		err = unmet(opts.If, s.wrap(ctx, "copy", src+" to "+dst, err))
		if try == maxRaces || !errors.Is(err, backend.ErrChanged) || !s.moved(ctx, from) {
			return backend.Object{}, err
		}
	}
}

// source looks at what is copied. ErrChanged where it is another version than etag.
func (s *Store) source(ctx context.Context, op, key, etag string) (*storage.ObjectAttrs, error) {
	a, err := s.attrs(ctx, op, key)
	if err == nil && etag != "" && a.Generation != generation(etag) {
		return nil, s.changed(op, key, object(a).ETag, etag)
	}
	return a, err
}

// moved reports whether an object is not what it was.
func (s *Store) moved(ctx context.Context, was *storage.ObjectAttrs) bool {
	now, err := s.handle(was.Name).Attrs(ctx)
	return err == nil && (now.Generation != was.Generation || now.Metageneration != was.Metageneration)
}

// rewrite copies the version that from describes. The result is checked against it.
func (s *Store) rewrite(ctx context.Context, dst string, from *storage.ObjectAttrs, attrs storage.ObjectAttrs, c backend.Condition) (*storage.ObjectAttrs, error) {
	var w watch
	copier := under(s.handle(dst), c).CopierFrom(s.handle(from.Name).If(storage.Conditions{GenerationMatch: from.Generation}))
	copier.ObjectAttrs, copier.DestinationKMSKeyName = attrs, s.cfg.KMSKey
	a, err := copier.Run(watched(ctx, &w))
	if err != nil {
		if class := classify(err); w.tries > 1 && dst != from.Name && (errors.Is(class, backend.ErrChanged) || errors.Is(class, backend.ErrNotExist)) {
			a, made := s.made(ctx, dst, from.Size, from.CRC32C, err)
			if made != nil || a.Created.After(from.Created) {
				return a, made
			}
		}
		return nil, err
	}
	if a.Size != from.Size || a.CRC32C != from.CRC32C {
		return nil, fmt.Errorf("the copy has %d bytes with CRC-32C %08x, the source %d with %08x: %w", a.Size, a.CRC32C, from.Size, from.CRC32C, backend.ErrDamaged)
	}
	return a, nil
}

// replace gives an object other attributes. One request changes them, which moves no bytes and keeps the generation; but it can
// neither take single keys away nor change the class, and then the object is rewritten in its place.
func (s *Store) replace(ctx context.Context, is *storage.ObjectAttrs, opts backend.CopyOptions) (*storage.ObjectAttrs, error) {
	if opts.If.Absent || opts.If.ETag != "" && generation(opts.If.ETag) != is.Generation {
		return nil, fmt.Errorf("the object is there in generation %d: %w", is.Generation, backend.ErrChanged)
	}
	attrs := keep(is)
	attrs.ContentType, attrs.Metadata = contentType(opts.Replace.ContentType), writeMetadata(*opts.Replace)
	if opts.Replace.StorageClass != "" {
		attrs.StorageClass = opts.Replace.StorageClass
	}
	here := storage.Conditions{GenerationMatch: is.Generation, MetagenerationMatch: is.Metageneration}
	if attrs.StorageClass == is.StorageClass && (len(attrs.Metadata) == 0 || covers(attrs.Metadata, is.Metadata)) {
		if attrs.ContentType == is.ContentType && maps.Equal(attrs.Metadata, is.Metadata) {
			return is, nil // perhaps by the request whose answer was lost
		}
		return s.handle(is.Name).If(here).Update(ctx, storage.ObjectAttrsToUpdate{ContentType: attrs.ContentType, Metadata: attrs.Metadata})
	}
	s.cfg.Protection.apply(is.Name, &attrs)
	copier := s.handle(is.Name).If(here).CopierFrom(s.handle(is.Name).If(here))
	copier.ObjectAttrs, copier.DestinationKMSKeyName = attrs, s.cfg.KMSKey
	return copier.Run(ctx)
}

// covers reports whether m has every key of old.
func covers(m, old map[string]string) bool {
	for k := range old {
		if _, ok := m[k]; !ok {
			return false
		}
	}
	return true
}
