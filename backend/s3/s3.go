// Package s3 is a backend.Store over Amazon S3 and what speaks its protocol. It knows nothing of files and directories;
// cmd/sluice opens it, the engine and the cache use it.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sluice/backend"
)

// caps are the limits of S3 general purpose buckets (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
var caps = backend.Caps{
	Name: "s3", MaxKey: 1024, MaxObject: 10_000 * 5 << 30, MaxPut: 5 << 30,
	MinPart: 5 << 20, MaxPart: 5 << 30, MaxParts: 10_000, PartConcurrency: 4,
	CopyPart: true, MaxCopyPart: 5 << 30, MaxCopy: 5 << 30, Conditional: true,
}

// Store is one bucket.
type Store struct {
	client *s3.Client
	cfg    Config
	sum    checksum
	sdk    aws.Config // with the credentials of the configuration, without a role
}

var _ backend.Store = (*Store)(nil)

// Caps implements backend.Store.
func (s *Store) Caps() backend.Caps { return caps }

// Stat implements backend.Store with HeadObject.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return backend.Object{}, err
	}
	in := &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key}
	if backend.ChecksumsWanted(ctx) {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return backend.Object{}, s.wrap(ctx, "stat", key, err)
	}
	o := headed(key, out)
	if backend.ChecksumsWanted(ctx) {
		o.Checksums = kept(out, s.cfg.Bucket)
	}
	return o, nil
}

// headed is the object that a HeadObject tells of, without its checksums.
func headed(key string, out *s3.HeadObjectOutput) backend.Object {
	o := backend.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), Updated: aws.ToTime(out.LastModified), ETag: aws.ToString(out.ETag),
		ContentType: aws.ToString(out.ContentType), StorageClass: class(out.StorageClass),
	}
	o.Archived = archived(out.StorageClass, aws.ToString(out.Restore), string(out.ArchiveStatus))
	o.Metadata, o.ModTime = readMetadata(out.Metadata)
	return o
}

// Open implements backend.Store with GetObject.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return nil, backend.Object{}, err
	}
	if opts.Offset < 0 {
		return nil, backend.Object{}, fmt.Errorf("s3 open %s at %d: %w", key, opts.Offset, backend.ErrRange)
	}
	in := &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key, IfMatch: optional(opts.ETag)}
	switch {
	case opts.Length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", opts.Offset, opts.Offset+opts.Length-1))
	case opts.Offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", opts.Offset))
	}
	out, err := s.client.GetObject(ctx, in, s.tell(in))
	if err != nil {
		err = s.wrap(ctx, "open", key, err)
		if errors.Is(err, backend.ErrRange) {
			return s.openEnd(ctx, key, opts, err)
		}
		return nil, backend.Object{}, err
	}
	size := aws.ToInt64(out.ContentLength)
	if in.Range != nil && (size > 0 || opts.Offset > 0 || out.ContentRange != nil) {
		// bytes first-last/size; an answer without it, or with another range, is not what was asked for
		at, total, _ := strings.Cut(aws.ToString(out.ContentRange), "/")
		size, err = strconv.ParseInt(total, 10, 64)
		if err != nil || !strings.HasPrefix(at, fmt.Sprintf("bytes %d-", opts.Offset)) {
			_ = out.Body.Close()
			return nil, backend.Object{}, s.damaged("open", key, out.ResultMetadata, fmt.Errorf("asked for %s, got %q", *in.Range, aws.ToString(out.ContentRange)))
		}
	}
	if opts.ETag != "" && aws.ToString(out.ETag) != opts.ETag { // a server that knows no If-Match
		_ = out.Body.Close()
		return nil, backend.Object{}, s.changed("open", key, aws.ToString(out.ETag), opts.ETag)
	}
	o := backend.Object{
		Key: key, Size: size, Updated: aws.ToTime(out.LastModified), ETag: aws.ToString(out.ETag),
		ContentType: aws.ToString(out.ContentType), StorageClass: class(out.StorageClass),
	}
	o.Metadata, o.ModTime = readMetadata(out.Metadata)
	if in.Range == nil {
		o.Checksums = kept(&s3.HeadObjectOutput{
			ETag: out.ETag, ServerSideEncryption: out.ServerSideEncryption, SSECustomerAlgorithm: out.SSECustomerAlgorithm, ChecksumType: out.ChecksumType,
			ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
			ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
		}, s.cfg.Bucket)
	}
	return &body{ReadCloser: out.Body, ctx: ctx, store: s, key: key, request: requestOf(out.ResultMetadata)}, o, nil
}

// tell asks for the checksum of an object that is read as a whole. The SDK is not to know: it would read the bytes once more.
func (s *Store) tell(in *s3.GetObjectInput) func(*s3.Options) {
	return func(o *s3.Options) {
		if in.Range == nil && s.sum != noSum {
			o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("X-Amz-Checksum-Mode", "ENABLED"))
		}
	}
}

// openEnd answers a range that holds no byte: S3 refuses it even where it begins at the end.
func (s *Store) openEnd(ctx context.Context, key string, opts backend.OpenOptions, refusal error) (io.ReadCloser, backend.Object, error) {
	o, err := s.Stat(ctx, key)
	switch {
	case err != nil:
		return nil, backend.Object{}, err
	case opts.ETag != "" && o.ETag != opts.ETag:
		return nil, backend.Object{}, s.changed("open", key, o.ETag, opts.ETag)
	case opts.Offset != o.Size:
		return nil, backend.Object{}, refusal
	}
	return io.NopCloser(bytes.NewReader(nil)), o, nil
}

// body is the content of an object on its way. A break in it is worth another try.
type body struct {
	io.ReadCloser
	ctx     context.Context // of Open, which governs the read
	store   *Store
	key     string
	request string // ids
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, b.store.wrap(b.ctx, "read", b.key, err)
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		if b.ctx.Err() != nil {
			return n, b.store.wrap(b.ctx, "read", b.key, err)
		}
		f := b.store.failure("read", b.key, backend.NoAnswer(err), err)
		f.Request = b.request
		err = f
	}
	return n, err
}

// Put implements backend.Store with PutObject.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return backend.Object{}, err
	}
	if int64(len(p)) > caps.MaxPut {
		return backend.Object{}, fmt.Errorf("s3 put %s: %w", key, backend.ErrTooLarge)
	}
	sum := s.sum.of(p)
	in := &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: &key, Body: bytes.NewReader(p), ContentLength: aws.Int64(int64(len(p))),
		ContentType: contentType(opts.ContentType), StorageClass: types.StorageClass(opts.StorageClass), Metadata: writeMetadata(opts.Attributes),
		ChecksumCRC64NVME: sum.crc64nvme, ChecksumCRC32C: sum.crc32c, ChecksumCRC32: sum.crc32, ContentMD5: sum.md5,
	}
	in.IfMatch, in.IfNoneMatch = condition(opts.If)
	var sent tries
	out, err := s.client.PutObject(ctx, in, sent.count, retryConflict)
	if err != nil {
		err = unmet(opts.If, s.wrap(ctx, "put", key, err))
		if backend.Doubtful(err, int(sent)) {
			return s.made(ctx, key, sum.proof(int64(len(p))), err)
		}
		return backend.Object{}, err
	}
	if err := sum.compare(out.ChecksumCRC64NVME, out.ChecksumCRC32C, out.ChecksumCRC32); err != nil {
		return backend.Object{}, s.damaged("put", key, out.ResultMetadata, err)
	}
	return written(key, int64(len(p)), aws.ToString(out.ETag), opts.Attributes), nil
}

// lookTime is how long a write whose answer is not known is looked for.
const lookTime = 30 * time.Second

// made looks whether a write that failed with err has been done all the same: whether the object at key is proven to be its work. Where it is
// not, the error is that of backend.Told.
func (s *Store) made(ctx context.Context, key string, proven func(*s3.HeadObjectOutput) bool, err error) (backend.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	out, look := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	switch {
	case look != nil:
		return backend.Object{}, backend.Told(err, s.wrap(ctx, "look for", key, look))
	case !proven(out):
		return backend.Object{}, err
	}
	return headed(key, out), nil
}

// written is the object that a write has made, as far as it is known without asking.
func written(key string, size int64, etag string, a backend.Attributes) backend.Object {
	return backend.Object{
		Key: key, Size: size, Updated: time.Now().UTC().Truncate(time.Second), ModTime: a.ModTime, ETag: etag, ContentType: *contentType(a.ContentType),
		StorageClass: class(types.StorageClass(a.StorageClass)), Archived: archived(types.StorageClass(a.StorageClass), "", ""), Metadata: a.Metadata,
	}
}

// Move implements backend.Store: general purpose buckets have no rename.
func (s *Store) Move(_ context.Context, dst, src string, _ backend.MoveOptions) (backend.Object, error) {
	return backend.Object{}, fmt.Errorf("s3 move %s to %s: %w", src, dst, backend.ErrUnsupported)
}

// Delete implements backend.Store with DeleteObject.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return err
	}
	var sent tries
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: &key, IfMatch: optional(opts.ETag)}, sent.count)
	if err == nil {
		return nil
	}
	err = s.wrap(ctx, "delete", key, err)
	gone := errors.Is(err, backend.ErrNotExist)
	if errors.Is(err, backend.ErrChanged) && sent > 1 { // the second try may meet what the first one has done
		_, statErr := s.Stat(ctx, key)
		gone = errors.Is(statErr, backend.ErrNotExist)
	}
	switch {
	case !gone:
		return err
	case opts.ETag != "" && sent == 1:
		return backend.Reclass(err, backend.ErrChanged)
	}
	return nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func condition(c backend.Condition) (ifMatch, ifNoneMatch *string) {
	if c.Absent {
		return nil, aws.String("*")
	}
	return optional(c.ETag), nil
}

// contentType is what is sent and kept where the caller knows none; servers have different ideas of their own.
func contentType(s string) *string {
	if s == "" {
		s = "application/octet-stream"
	}
	return &s
}

// unmet makes ErrChanged of a missing object where the condition asks for one.
func unmet(c backend.Condition, err error) error {
	if c.ETag != "" && errors.Is(err, backend.ErrNotExist) {
		return backend.Reclass(err, backend.ErrChanged)
	}
	return err
}

// mtimeKey is where rclone and s3fs keep the modification time: seconds since 1970, with a fraction.
const mtimeKey = "mtime"

// writeMetadata makes headers of attributes. S3 wants US-ASCII; other values go as RFC 2047 words, as S3 itself returns them.
func writeMetadata(a backend.Attributes) map[string]string {
	m := make(map[string]string, len(a.Metadata)+1)
	for k, v := range a.Metadata {
		m[strings.ToLower(k)] = mime.BEncoding.Encode("UTF-8", v)
	}
	if !a.ModTime.IsZero() {
		m[mtimeKey] = formatTime(a.ModTime)
	}
	return m
}

// readMetadata splits the headers of an object into metadata and the modification time, in whichever of the usual ways a
// program has written that: rclone and s3fs, Google's tools, gcsfuse.
func readMetadata(headers map[string]string) (m map[string]string, mtime time.Time) {
	m = make(map[string]string, len(headers))
	words := new(mime.WordDecoder)
	for k, v := range headers {
		k = strings.ToLower(k)
		if decoded, err := words.DecodeHeader(v); err == nil {
			v = decoded
		}
		m[k] = v
	}
	for _, k := range []string{"gcsfuse_mtime", "goog-reserved-file-mtime", mtimeKey} { // the last one counts
		if t, ok := parseTime(k, m[k]); ok {
			mtime = t
			delete(m, k)
		}
	}
	return m, mtime
}

// formatTime writes a time as rclone does: a decimal number of seconds, which before 1970 is negative as a whole.
func formatTime(t time.Time) string {
	sec, nsec, sign := t.Unix(), t.Nanosecond(), ""
	if sec < 0 {
		if sec, sign = -sec, "-"; nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	return fmt.Sprintf("%s%d.%09d", sign, sec, nsec)
}

func parseTime(key, value string) (time.Time, bool) {
	switch key {
	case mtimeKey, "goog-reserved-file-mtime":
		whole, frac, _ := strings.Cut(value, ".")
		sec, err := strconv.ParseInt(whole, 10, 64)
		nsec, fracErr := strconv.ParseUint((frac + "000000000")[:9], 10, 32)
		if err != nil || fracErr != nil {
			return time.Time{}, false
		}
		if strings.HasPrefix(whole, "-") {
			return time.Unix(sec, -int64(nsec)).UTC(), true
		}
		return time.Unix(sec, int64(nsec)).UTC(), true
	case "gcsfuse_mtime":
		t, err := time.Parse(time.RFC3339Nano, value)
		return t.UTC(), err == nil
	}
	return time.Time{}, false
}
