// Package azure is a backend.Store over Azure Blob Storage: one container, whose objects are block blobs. It knows nothing
// of files and directories; cmd/sluice opens it, the engine and the cache use it.
//
// In an account with a hierarchical namespace, directories are real: a blob cannot have the name of one, listings show them
// as empty blobs with the metadata hdi_isfolder, and one that is not empty cannot be deleted. Everything else is the same.
package azure

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- what the service itself computes of a blob
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/minio/crc64nvme"

	"sluice/backend"
)

const mib = 1 << 20

// caps are the limits of block blobs (Azure Storage, "Scalability and performance targets for Blob storage"). Put Blob From
// URL takes more than one copied block, but what does not know it copies by blocks.
var caps = backend.Caps{
	Name: "azure", MaxKey: 1024, MaxObject: 50_000 * 4000 * mib, MaxPut: 5000 * mib,
	MinPart: 1, MaxPart: 4000 * mib, MaxParts: 50_000, PartConcurrency: 4,
	CopyPart: true, MaxCopyPart: 4000 * mib, MaxCopy: 4000 * mib, Conditional: true, ListMetadata: true,
}

// Store is one container.
type Store struct {
	cfg       Config
	container *container.Client
	token     azcore.TokenCredential    // nil with a key or a SAS
	key       *blob.SharedKeyCredential // nil without one
	where     string                    // the service, for messages
	encrypt   *blob.CPKInfo             // nil unless the customer provides the key
	scope     *blob.CPKScopeInfo
	byBlocks  atomic.Bool // the server has no Put Blob From URL
}

var _ backend.Store = (*Store)(nil)

// Caps implements backend.Store. Listings do not show the metadata of blobs that are encrypted with the customer's key.
func (s *Store) Caps() backend.Caps {
	c := caps
	c.ListMetadata = s.encrypt == nil
	return c
}

func (s *Store) blob(key string) *blockblob.Client { return s.container.NewBlockBlobClient(key) }

// checkKey refuses what no store takes, and the backslash: the service takes it for a slash, so that the key would be another.
func checkKey(key string) error {
	if strings.Contains(key, `\`) {
		return fmt.Errorf("a backslash, which Azure takes for a slash: %w", backend.ErrBadKey)
	}
	return backend.CheckKey(key, caps.MaxKey)
}

// Stat implements backend.Store with Get Blob Properties.
func (s *Store) Stat(ctx context.Context, key string) (backend.Object, error) {
	o, _, err := s.stat(ctx, key)
	return o, err
}

// stat returns the properties beside the object: what no Object holds.
func (s *Store) stat(ctx context.Context, key string) (backend.Object, blob.GetPropertiesResponse, error) {
	if err := checkKey(key); err != nil {
		return backend.Object{}, blob.GetPropertiesResponse{}, err
	}
	p, err := s.blob(key).GetProperties(ctx, &blob.GetPropertiesOptions{CPKInfo: s.encrypt})
	if err != nil {
		return backend.Object{}, p, s.wrap(ctx, "stat", key, err)
	}
	o := backend.Object{
		Key: key, Size: value(p.ContentLength), Updated: value(p.LastModified), ETag: quoted(p.ETag), ContentType: value(p.ContentType),
		StorageClass: class(p.AccessTier, p.AccessTierInferred), Archived: archived(p.AccessTier),
	}
	setMetadata(&o, p.Metadata)
	if len(p.ContentMD5) == md5.Size && backend.ChecksumsWanted(ctx) { // of Put Blob: a list of blocks has none, unless its writer gave it
		o.Checksums = map[string][]byte{"MD5": p.ContentMD5}
	}
	return o, p, nil
}

// Open implements backend.Store with Get Blob.
func (s *Store) Open(ctx context.Context, key string, opts backend.OpenOptions) (io.ReadCloser, backend.Object, error) {
	if err := checkKey(key); err != nil {
		return nil, backend.Object{}, err
	}
	if opts.Offset < 0 {
		return nil, backend.Object{}, fmt.Errorf("azure open %s at %d: %w", key, opts.Offset, backend.ErrRange)
	}
	request, cancel := context.WithCancelCause(ctx)
	var raw *http.Response
	r, err := s.blob(key).DownloadStream(policy.WithCaptureResponse(request, &raw), &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: opts.Offset, Count: opts.Length}, AccessConditions: condition(backend.Condition{ETag: opts.ETag}), CPKInfo: s.encrypt,
	})
	if err != nil {
		cancel(nil)
		err = s.wrap(ctx, "open", key, err)
		if errors.Is(err, backend.ErrRange) {
			return s.openEnd(ctx, key, opts, err)
		}
		return nil, backend.Object{}, err
	}
	in := newBody(ctx, cancel, s.stall(), r.Body, func(err error) error { return s.read(key, r.RequestID, err) })
	size := value(r.ContentLength)
	if opts.Offset > 0 || opts.Length > 0 {
		// bytes first-last/size; an answer without it, or with another range, is not what was asked for
		at, total, _ := strings.Cut(value(r.ContentRange), "/")
		size, err = strconv.ParseInt(total, 10, 64)
		if err != nil || !strings.HasPrefix(at, fmt.Sprintf("bytes %d-", opts.Offset)) {
			_ = in.Close()
			return nil, backend.Object{}, s.damaged("open", key, r.RequestID, fmt.Errorf("asked for bytes from %d, got %q", opts.Offset, value(r.ContentRange)))
		}
	}
	if opts.ETag != "" && quoted(r.ETag) != opts.ETag { // something between here and there that drops If-Match
		_ = in.Close()
		return nil, backend.Object{}, s.changed("open", key, quoted(r.ETag), opts.ETag)
	}
	o := backend.Object{
		Key: key, Size: size, Updated: value(r.LastModified), ETag: quoted(r.ETag), ContentType: value(r.ContentType),
		StorageClass: class(r.AccessTier, to.Ptr(raw.Header.Get("X-Ms-Access-Tier-Inferred") == "true")), // which the SDK drops
	}
	setMetadata(&o, r.Metadata)
	return in, o, nil
}

// openEnd answers a range that holds no byte: the service refuses it even where it begins at the end.
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

// Put implements backend.Store with Put Blob.
func (s *Store) Put(ctx context.Context, key string, p []byte, opts backend.PutOptions) (backend.Object, error) {
	if err := checkKey(key); err != nil {
		return backend.Object{}, err
	}
	if int64(len(p)) > caps.MaxPut {
		return backend.Object{}, fmt.Errorf("azure put %s: %w", key, backend.ErrTooLarge)
	}
	ctx, sent := counted(ctx)
	crc := crc64nvme.Checksum(p) // the polynomial of Azure's CRC-64 is the same
	mode, until, hold := s.cfg.Protection.lock(key)
	r, err := s.blob(key).Upload(ctx, newContent(p), &blockblob.UploadOptions{
		HTTPHeaders: headers(opts.Attributes), Metadata: metadata(key, int64(len(p)), opts.Attributes), Tier: s.tier(opts.Attributes),
		AccessConditions: condition(opts.If), CPKInfo: s.encrypt, CPKScopeInfo: s.scope, TransactionalValidation: blob.TransferValidationTypeCRC64(crc),
		Tags: s.cfg.Protection.label(key), ImmutabilityPolicyMode: mode, ImmutabilityPolicyExpiryTime: until, LegalHold: hold,
	})
	if err != nil {
		err = unmet(opts.If, s.wrap(ctx, "put", key, err))
		if backend.Doubtful(err, int(sent.Load())) {
			sum := md5.Sum(p) // #nosec G401
			return s.made(ctx, key, int64(len(p)), sum[:], err)
		}
		return backend.Object{}, err
	}
	if err := same(crc, r.ContentCRC64); err != nil {
		return backend.Object{}, s.damaged("put", key, r.RequestID, err)
	}
	return s.written(key, int64(len(p)), quoted(r.ETag), r.LastModified, opts.Attributes), nil
}

// lookTime is how long a write whose answer is not known is looked for.
const lookTime = 30 * time.Second

// made looks whether a write that failed with err has been done all the same: whether the blob at key holds what was written, which
// only the checksum that the service keeps can tell. Where it does not, the error is that of backend.Told.
func (s *Store) made(ctx context.Context, key string, size int64, sum []byte, err error) (backend.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	o, p, look := s.stat(ctx, key)
	switch {
	case look != nil:
		return backend.Object{}, backend.Told(err, look)
	case o.Size != size || len(sum) == 0 || !bytes.Equal(p.ContentMD5, sum):
		return backend.Object{}, err
	}
	return o, nil
}

// written is the object that a write has made, as far as it is known without asking.
func (s *Store) written(key string, size int64, etag string, updated *time.Time, a backend.Attributes) backend.Object {
	o := backend.Object{
		Key: key, Size: size, Updated: time.Now().UTC().Truncate(time.Second), ModTime: a.ModTime, ETag: etag,
		ContentType: *headers(a).BlobContentType, Metadata: a.Metadata,
	}
	if updated != nil {
		o.Updated = *updated
	}
	if t := s.tier(a); t != nil {
		o.StorageClass, o.Archived = string(*t), *t == blob.AccessTierArchive
	}
	return o
}

// Delete implements backend.Store with Delete Blob. Snapshots of the blob, which would keep it, go with it.
func (s *Store) Delete(ctx context.Context, key string, opts backend.DeleteOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, sent := counted(ctx)
	_, err := s.blob(key).Delete(ctx, &blob.DeleteOptions{
		DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude), AccessConditions: condition(backend.Condition{ETag: opts.ETag}),
	})
	if err == nil {
		return nil
	}
	err = s.wrap(ctx, "delete", key, err)
	gone, again := errors.Is(err, backend.ErrNotExist), sent.Load() > 1
	if errors.Is(err, backend.ErrChanged) { // the second try may meet what the first one has done; the first, nothing at all
		_, statErr := s.Stat(ctx, key)
		gone = errors.Is(statErr, backend.ErrNotExist)
	}
	switch {
	case !gone:
		return err
	case opts.ETag != "" && !again:
		return backend.Reclass(err, backend.ErrChanged)
	}
	return nil
}

// same compares a checksum with the one that the store has computed of what it got, if it tells.
func same(crc uint64, answer []byte) error {
	if len(answer) == 8 && binary.LittleEndian.Uint64(answer) != crc {
		return fmt.Errorf("the store has CRC-64 %x, sent was %x", binary.LittleEndian.Uint64(answer), crc)
	}
	return nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// quoted is an ETag as headers have it. Listings have it without quotation marks.
func quoted(e *azcore.ETag) string {
	if e == nil {
		return ""
	}
	return `"` + strings.Trim(string(*e), `"`) + `"`
}

// condition is what the service is asked to check; nil for nothing.
func condition(c backend.Condition) *blob.AccessConditions {
	m := new(blob.ModifiedAccessConditions)
	switch {
	case c.Absent:
		m.IfNoneMatch = to.Ptr(azcore.ETagAny)
	case c.ETag != "":
		m.IfMatch = to.Ptr(azcore.ETag(c.ETag))
	default:
		return nil
	}
	return &blob.AccessConditions{ModifiedAccessConditions: m}
}

// unmet makes ErrChanged of a missing object where the condition asks for one.
func unmet(c backend.Condition, err error) error {
	if c.ETag != "" && errors.Is(err, backend.ErrNotExist) {
		return backend.Reclass(err, backend.ErrChanged)
	}
	return err
}
