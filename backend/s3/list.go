package s3

import (
	"context"
	"iter"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// List implements backend.Store with ListObjectsV2. Names travel URL-encoded, since XML cannot hold every one.
func (s *Store) List(ctx context.Context, prefix string, opts backend.ListOptions) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		in := &s3.ListObjectsV2Input{
			Bucket: &s.cfg.Bucket, Prefix: optional(prefix), StartAfter: optional(opts.After), EncodingType: types.EncodingTypeUrl, MaxKeys: s.page(opts.Limit),
		}
		if !opts.Recursive {
			in.Delimiter = aws.String("/")
		}
		for last := opts.After; ; {
			out, err := s.client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
				return
			}
			entries, err := page(out)
			if err != nil {
				yield(backend.Entry{}, s.failure("list", prefix, backend.ErrUnavailable, err))
				return
			}
			for _, e := range entries {
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
					return
				}
				if e.Key <= last { // a folder around After, or one that goes on from page to page
					continue
				}
				last = e.Key
				if !yield(e, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextContinuationToken) == "" {
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

func (s *Store) page(limit int) *int32 {
	n := s.cfg.PageSize
	if n <= 0 {
		n = 1000
	}
	if limit > 0 {
		n = min(n, max(limit, 2)) // pages of one row end early on MinIO, at a marker with something below it
	}
	return aws.Int32(int32(min(n, 1000))) // the server's own limit
}

// page merges the objects and the common prefixes of one answer, each of which is in order.
func page(out *s3.ListObjectsV2Output) ([]backend.Entry, error) {
	entries := make([]backend.Entry, 0, len(out.Contents)+len(out.CommonPrefixes))
	objects, prefixes := out.Contents, out.CommonPrefixes
	decode := func(s *string) (string, error) {
		if out.EncodingType != types.EncodingTypeUrl {
			return aws.ToString(s), nil
		}
		return url.QueryUnescape(aws.ToString(s))
	}
	for len(objects) > 0 || len(prefixes) > 0 {
		var key, prefix string
		var err error
		if len(objects) > 0 {
			if key, err = decode(objects[0].Key); err != nil {
				return nil, err
			}
		}
		if len(prefixes) > 0 {
			if prefix, err = decode(prefixes[0].Prefix); err != nil {
				return nil, err
			}
		}
		if len(prefixes) > 0 && (len(objects) == 0 || prefix < key) {
			entries = append(entries, backend.Entry{Object: backend.Object{Key: prefix}, Prefix: true})
			prefixes = prefixes[1:]
			continue
		}
		o := objects[0]
		objects = objects[1:]
		entries = append(entries, backend.Entry{Object: backend.Object{
			Key: key, Size: aws.ToInt64(o.Size), Updated: aws.ToTime(o.LastModified), ETag: aws.ToString(o.ETag),
			StorageClass: class(types.StorageClass(o.StorageClass)), Archived: archived(types.StorageClass(o.StorageClass), restored(o.RestoreStatus), ""), Partial: true,
		}})
	}
	return entries, nil
}

// restored writes the restore status of a row as HeadObject would.
func restored(r *types.RestoreStatus) string {
	if r == nil || aws.ToBool(r.IsRestoreInProgress) {
		return ""
	}
	return `ongoing-request="false"`
}
