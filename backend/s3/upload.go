package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// maxAborts is how often an upload is aborted: a part on its way at the first time may arrive behind it.
const maxAborts = 5

// upload is a multipart upload.
type upload struct {
	store *Store
	key   string
	id    *string
	opts  backend.PutOptions

	mu    sync.Mutex
	parts map[int]part
	done  bool // committed
	ended bool // aborted
}

type part struct {
	size    int64
	crc64   uint64
	checked bool // crc64 is known
	types.CompletedPart
}

// NewUpload implements backend.Store with CreateMultipartUpload.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return nil, err
	}
	in := &s3.CreateMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: &key, ContentType: contentType(opts.ContentType), StorageClass: types.StorageClass(opts.StorageClass),
		Metadata: writeMetadata(opts.Attributes),
	}
	in.ChecksumAlgorithm, in.ChecksumType = s.sum.algorithm()
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, s.wrap(ctx, "new upload", key, err)
	}
	return &upload{store: s, key: key, id: out.UploadId, opts: opts, parts: map[int]part{}}, nil
}

// grace is how long a part on its way may go on when its upload is given up.
const grace = 500 * time.Millisecond

// reluctant is ctx with a cancellation that takes effect after a grace. A part that the server has got already is answered by
// then; one that arrived behind the abort of its upload could stay for ever.
func reluctant(ctx context.Context) (context.Context, context.CancelFunc) {
	slow, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-slow.Done():
		}
	})
	return slow, func() {
		stop()
		cancel(nil)
	}
}

func (u *upload) check(n int) error {
	if n < 1 || n > caps.MaxParts {
		return fmt.Errorf("s3 part %d of %s: parts are 1 to %d: %w", n, u.key, caps.MaxParts, backend.ErrTooLarge)
	}
	return nil
}

// WritePart implements backend.Upload with UploadPart.
func (u *upload) WritePart(ctx context.Context, n int, p []byte) error {
	if err := u.check(n); err != nil {
		return err
	}
	if int64(len(p)) > caps.MaxPart {
		return fmt.Errorf("s3 part %d of %s: %d bytes: %w", n, u.key, len(p), backend.ErrTooLarge)
	}
	if err := ctx.Err(); err != nil {
		return u.store.wrap(ctx, fmt.Sprintf("part %d", n), u.key, err)
	}
	ctx, cancel := reluctant(ctx)
	defer cancel()
	sum := u.store.sum.of(p)
	out, err := u.store.client.UploadPart(context.WithValue(ctx, inMemory{}, p), &s3.UploadPartInput{
		Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id, PartNumber: aws.Int32(int32(n)), Body: bytes.NewReader(p), ContentLength: aws.Int64(int64(len(p))),
		ChecksumCRC64NVME: sum.crc64nvme, ChecksumCRC32C: sum.crc32c, ChecksumCRC32: sum.crc32, ContentMD5: sum.md5,
	})
	if err != nil {
		return u.store.wrap(ctx, fmt.Sprintf("part %d", n), u.key, err)
	}
	if err := sum.compare(out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32); err != nil {
		return u.store.damaged(fmt.Sprintf("part %d", n), u.key, out.ResultMetadata, err)
	}
	u.keep(n, part{size: int64(len(p)), crc64: sum.crc64, checked: sum.crc64nvme != nil, CompletedPart: types.CompletedPart{
		ETag: out.ETag, ChecksumCRC64NVME: sum.crc64nvme, ChecksumCRC32C: sum.crc32c, ChecksumCRC32: sum.crc32,
	}})
	return nil
}

// CopyPart implements backend.Upload with UploadPartCopy.
func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	if err := errors.Join(u.check(n), backend.CheckKey(src, caps.MaxKey)); err != nil {
		return err
	}
	if length > caps.MaxCopyPart || length < 1 {
		return fmt.Errorf("s3 copy part %d of %s: %d bytes: %w", n, u.key, length, backend.ErrTooLarge)
	}
	out, err := u.store.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id, PartNumber: aws.Int32(int32(n)), CopySource: u.store.source(src),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+length-1)), CopySourceIfMatch: optional(opts.SrcETag),
	})
	if err != nil {
		err = u.store.wrap(ctx, fmt.Sprintf("copy part %d", n), u.key, err)
		switch {
		case apiCode(err) != "InvalidArgument":
			return err
		case strings.Contains(strings.ToLower(err.Error()), "range"): // of all arguments the caller's alone
			return backend.Reclass(err, backend.ErrRange)
		}
		return backend.Reclass(err, backend.ErrUnsupported) // such as the checksum of the upload
	}
	r := out.CopyPartResult
	p := part{size: length, CompletedPart: types.CompletedPart{
		ETag: r.ETag, ChecksumCRC64NVME: r.ChecksumCRC64NVME, ChecksumCRC32C: r.ChecksumCRC32C, ChecksumCRC32: r.ChecksumCRC32,
	}}
	if r.ChecksumCRC64NVME != nil {
		p.crc64, p.checked = decode64(*r.ChecksumCRC64NVME)
	}
	u.keep(n, p)
	return nil
}

func (u *upload) keep(n int, p part) {
	p.PartNumber = aws.Int32(int32(n))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
}

// Commit implements backend.Upload with CompleteMultipartUpload.
func (u *upload) Commit(ctx context.Context, n int) (backend.Object, error) {
	whole, err := u.whole(n)
	if err != nil {
		return backend.Object{}, err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: whole.parts},
		MpuObjectSize: aws.Int64(whole.size), ChecksumCRC64NVME: whole.sum,
	}
	_, in.ChecksumType = u.store.sum.algorithm()
	in.IfMatch, in.IfNoneMatch = condition(u.opts.If)
	var sent tries
	out, err := u.store.client.CompleteMultipartUpload(ctx, in, sent.count)
	if err != nil {
		err = u.store.wrap(ctx, "commit", u.key, err)
		if backend.Doubtful(err, int(sent)) || errors.Is(err, backend.ErrNotExist) { // what is done is gone as an upload
			var o backend.Object
			if o, err = u.store.made(ctx, u.key, whole.proves, err); err == nil {
				_ = u.Abort(ctx) // of an upload that is not done, where such an object was there before
				u.finish()
				return o, nil
			}
			if errors.Is(err, backend.ErrNotExist) {
				err = backend.Reclass(err, backend.ErrChanged) // the upload is gone
			}
		}
		return backend.Object{}, err
	}
	if whole.sum != nil && out.ChecksumCRC64NVME != nil && *out.ChecksumCRC64NVME != *whole.sum {
		return backend.Object{}, u.store.damaged("commit", u.key, out.ResultMetadata, fmt.Errorf("the store has checksum %s, sent was %s", *out.ChecksumCRC64NVME, *whole.sum))
	}
	if out.ChecksumCRC64NVME == nil { // nothing that was compared: at least the size must be right
		o, err := u.store.Stat(ctx, u.key)
		if err != nil {
			return backend.Object{}, fmt.Errorf("s3 commit %s: %w", u.key, err)
		}
		if o.ETag == aws.ToString(out.ETag) && o.Size != whole.size {
			return backend.Object{}, u.store.damaged("commit", u.key, out.ResultMetadata, fmt.Errorf("the store has %d bytes, sent were %d", o.Size, whole.size))
		}
	}
	u.finish()
	return written(u.key, whole.size, aws.ToString(out.ETag), u.opts.Attributes), nil
}

func (u *upload) finish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
}

// object is what the parts make together.
type object struct {
	parts []types.CompletedPart
	size  int64
	sum   *string // CRC-64/NVME; nil where that of a part is unknown
}

func (u *upload) whole(n int) (object, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return object{}, fmt.Errorf("s3 commit %s: the upload was aborted", u.key)
	}
	o := object{parts: make([]types.CompletedPart, 0, n)}
	var crc uint64
	checked := true
	for i := 1; i <= n; i++ {
		p, ok := u.parts[i]
		if !ok {
			return object{}, fmt.Errorf("s3 commit %s: part %d was not written", u.key, i)
		}
		o.parts = append(o.parts, p.CompletedPart)
		o.size += p.size
		if checked = checked && p.checked; checked {
			crc = combine(crc, p.crc64, p.size)
		}
	}
	if n < 1 {
		return object{}, fmt.Errorf("s3 commit %s: no part was written", u.key)
	}
	if checked {
		o.sum = encode64(crc)
	}
	return o, nil
}

// proves reports whether what the store says about the object at the key is what this upload would have made of it. Without
// a checksum or the ETag nobody can tell, and it is not.
func (o object) proves(out *s3.HeadObjectOutput) bool {
	switch {
	case aws.ToInt64(out.ContentLength) != o.size:
		return false
	case o.sum != nil && out.ChecksumCRC64NVME != nil:
		return *out.ChecksumCRC64NVME == *o.sum
	}
	etag := multipartETag(o.parts)
	return etag != "" && aws.ToString(out.ETag) == etag
}

// Abort implements backend.Upload with AbortMultipartUpload, until no part is left.
func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	done := u.done
	u.ended = !done
	u.mu.Unlock()
	if done {
		return nil
	}
	for range maxAborts {
		_, err := u.store.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id})
		if err = u.gone(ctx, "abort", err); err != nil {
			return err
		}
		out, err := u.store.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id, MaxParts: aws.Int32(1)})
		if err != nil {
			return u.gone(ctx, "abort", err)
		}
		if len(out.Parts) == 0 {
			return nil
		}
	}
	return u.store.failure("abort", u.key, backend.ErrUnavailable, errors.New("parts are left"))
}

// gone takes an upload that does not exist for aborted.
func (u *upload) gone(ctx context.Context, op string, err error) error {
	if err == nil || errors.Is(classify(err), backend.ErrNotExist) {
		return nil
	}
	return u.store.wrap(ctx, op, u.key, err)
}
