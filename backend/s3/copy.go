package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// Copy implements backend.Store with CopyObject.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	for _, key := range []string{dst, src} {
		if err := backend.CheckKey(key, caps.MaxKey); err != nil {
			return backend.Object{}, err
		}
	}
	if strings.HasSuffix(dst, "/") {
		return s.copyMarker(ctx, dst, src, opts)
	}
	in := &s3.CopyObjectInput{
		Bucket: &s.cfg.Bucket, Key: &dst, CopySource: s.source(src), CopySourceIfMatch: optional(opts.SrcETag),
		MetadataDirective: types.MetadataDirectiveCopy, StorageClass: types.StorageClass(opts.StorageClass),
	}
	if r := opts.Replace; r != nil {
		in.MetadataDirective = types.MetadataDirectiveReplace
		in.ContentType, in.StorageClass, in.Metadata = contentType(r.ContentType), types.StorageClass(r.StorageClass), writeMetadata(*r)
	}
	in.IfMatch, in.IfNoneMatch = condition(opts.If)
	var sent tries
	out, err := s.client.CopyObject(ctx, in, sent.count, retryConflict)
	if err != nil {
		// S3 says no more than InvalidRequest of a source above the limit.
		if apiCode(err) == "InvalidRequest" {
			if o, statErr := s.Stat(ctx, src); statErr == nil && o.Size > caps.MaxCopy {
				return backend.Object{}, s.failure("copy", src, backend.ErrTooLarge, fmt.Errorf("%d bytes: %w", o.Size, err))
			}
		}
		err = s.wrap(ctx, "copy", src+" to "+dst, err)
		if errors.Is(err, backend.ErrChanged) && sent > 1 && dst != src {
			if o, ok := s.copied(ctx, dst, src, opts.SrcETag); ok {
				return o, nil
			}
		}
		return backend.Object{}, err
	}
	var r types.CopyObjectResult
	if out.CopyObjectResult != nil {
		r = *out.CopyObjectResult
	}
	etag := quoted(r.ETag)
	if from := opts.Src; from != nil && from.ETag == opts.SrcETag && from.ETag == etag { // the ETag of one object proves the bytes of the other
		return copyOf(*from, dst, r, opts), nil
	}
	o, err := s.Stat(ctx, dst)
	if err == nil && etag != "" && o.ETag != etag && opts.Src != nil { // somebody else has written it since
		return copyOf(*opts.Src, dst, r, opts), nil
	}
	return o, err
}

// copyOf is the object that a copy of from has made, as far as it is known without asking.
func copyOf(from backend.Object, dst string, r types.CopyObjectResult, opts backend.CopyOptions) backend.Object {
	a := from.Attributes()
	a.StorageClass = opts.StorageClass
	if opts.Replace != nil {
		a = *opts.Replace
	}
	o := written(dst, from.Size, quoted(r.ETag), a)
	o.Partial = from.Partial && opts.Replace == nil
	if r.LastModified != nil {
		o.Updated = r.LastModified.UTC().Truncate(time.Second)
	}
	return o
}

// copied looks whether a copy whose answer is not known has been made: whether the object at dst has the bytes of src and is no older.
func (s *Store) copied(ctx context.Context, dst, src, srcETag string) (backend.Object, bool) {
	ctx = backend.WithChecksums(ctx)
	from, err := s.Stat(ctx, src)
	if err != nil || srcETag != "" && from.ETag != srcETag {
		return backend.Object{}, false
	}
	to, err := s.Stat(ctx, dst)
	if err != nil || to.Size != from.Size || to.Updated.Before(from.Updated) {
		return backend.Object{}, false
	}
	proven := to.ETag == from.ETag
	for name, sum := range from.Checksums {
		if other, ok := to.Checksums[name]; ok && !bytes.Equal(sum, other) {
			return backend.Object{}, false
		} else if ok {
			proven = true
		}
	}
	return to, proven
}

// quoted is an ETag as it stands in a header; some servers leave the quotes out where it stands in XML.
func quoted(etag *string) string {
	if s := aws.ToString(etag); s == "" || strings.HasSuffix(s, `"`) {
		return s
	}
	return `"` + *etag + `"`
}

// copyMarker copies the marker of a directory, which is empty, by writing it: some servers refuse to copy one.
func (s *Store) copyMarker(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	o, err := s.Stat(ctx, src)
	switch {
	case err != nil:
		return backend.Object{}, err
	case opts.SrcETag != "" && opts.SrcETag != o.ETag:
		return backend.Object{}, s.changed("copy", src, o.ETag, opts.SrcETag)
	case o.Size > caps.MinPart:
		return backend.Object{}, fmt.Errorf("s3 copy %s: a marker of %d bytes: %w", src, o.Size, backend.ErrUnsupported)
	}
	var p []byte
	if o.Size > 0 {
		r, _, err := s.Open(ctx, src, backend.OpenOptions{ETag: o.ETag})
		if err != nil {
			return backend.Object{}, err
		}
		p, err = io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return backend.Object{}, err
		}
	}
	a := o.Attributes()
	a.StorageClass = opts.StorageClass
	if opts.Replace != nil {
		a = *opts.Replace
	}
	return s.Put(ctx, dst, p, backend.PutOptions{Attributes: a, If: opts.If})
}

// source is the CopySource of a key. The SDK sends it as it is, so it is escaped here.
func (s *Store) source(key string) *string {
	segs := strings.Split(key, "/")
	for i, seg := range segs {
		segs[i] = strings.ReplaceAll(url.PathEscape(seg), "+", "%2B")
	}
	return aws.String(url.PathEscape(s.cfg.Bucket) + "/" + strings.Join(segs, "/"))
}
