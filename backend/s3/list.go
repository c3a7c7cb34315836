package s3

import (
	"context"
	"errors"
	"iter"

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
			var answer page
			opts.Ask()
			if _, err := s.client.ListObjectsV2(ctx, in, answer.read); err != nil {
				yield(backend.Entry{}, s.wrap(ctx, "list", prefix, err))
				return
			}
			for _, e := range answer.entries() {
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
			if answer.next == "" {
				return
			}
			if answer.next == aws.ToString(in.ContinuationToken) {
				yield(backend.Entry{}, s.failure("list", prefix, backend.ErrUnavailable, errors.New("the same NextContinuationToken again")))
				return
			}
			in.ContinuationToken = &answer.next
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
