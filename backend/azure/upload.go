package azure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/minio/crc64nvme"

	"sluice/backend"
)

// upload is a set of staged blocks.
//
// Azure has one pool of uncommitted blocks per blob, which all its writers share, and empties it whenever one of them commits
// a block list or puts the blob. So the blocks of each upload have names of their own, and the upload that commits second has
// lost its blocks: its Commit is ErrChanged, and never a mixture.
type upload struct {
	store *Store
	key   string
	name  name
	opts  backend.PutOptions
	tags  map[string]string

	mu      sync.Mutex
	parts   map[int]part
	sources map[string]backend.Object // versions that parts are copied from
	width   int                       // bytes of a block id
	next    uint32                    // number of the next block
	done    bool                      // committed
	ended   bool                      // aborted
}

type part struct {
	block string // id
	size  int64
}

func newUpload(s *Store, key string, n name, opts backend.PutOptions) *upload {
	return &upload{store: s, key: key, name: n, opts: opts, parts: map[int]part{}, sources: map[string]backend.Object{}, width: idWidth}
}

// NewUpload implements backend.Store. Nothing is sent: the first block begins the upload.
func (s *Store) NewUpload(ctx context.Context, key string, opts backend.PutOptions) (backend.Upload, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, s.wrap(ctx, "new upload", key, err)
	}
	u := newUpload(s, key, newName(), opts)
	u.tags = s.cfg.Protection.label(key)
	return u, nil
}

// begin returns the id of a new block for part n.
func (u *upload) begin(n int) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case n < 1 || n > caps.MaxParts:
		return "", fmt.Errorf("azure part %d of %s: parts are 1 to %d: %w", n, u.key, caps.MaxParts, backend.ErrTooLarge)
	case u.ended || u.done:
		return "", fmt.Errorf("azure part %d of %s: the upload has ended", n, u.key)
	}
	u.next++
	return u.name.block(u.next-1, n, u.width), nil
}

func (u *upload) keep(n int, block string, size int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = part{block, size}
}

// stage sends a block of part n. All ids in a pool must have one length: where another program has left blocks in it, the
// upload takes over theirs.
func (u *upload) stage(ctx context.Context, n int, size int64, send func(block string) error) error {
	block, err := u.begin(n)
	if err != nil {
		return err
	}
	err = send(block)
	if errorCode(err) == string(bloberror.InvalidBlobOrBlock) && u.adapt(ctx, len(block)) {
		if block, err = u.begin(n); err != nil {
			return err
		}
		err = send(block)
	}
	if err != nil {
		return err
	}
	u.keep(n, block, size)
	return nil
}

// adapt takes over the length of the ids in the pool, and reports whether it is another than that of the id tried.
func (u *upload) adapt(ctx context.Context, tried int) bool {
	blocks, err := u.pool(ctx)
	if err != nil || len(blocks) == 0 {
		return false
	}
	width := idLength(value(blocks[0].Name))
	if width < idWidth {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.width = width
	return len(u.name.block(0, 1, width)) != tried
}

// WritePart implements backend.Upload with Put Block.
func (u *upload) WritePart(ctx context.Context, n int, p []byte) error {
	op := fmt.Sprintf("part %d", n)
	if int64(len(p)) > caps.MaxPart {
		return fmt.Errorf("azure %s %s: %d bytes: %w", op, u.key, len(p), backend.ErrTooLarge)
	}
	if len(p) == 0 { // no block is empty
		if _, err := u.begin(n); err != nil {
			return err
		}
		u.keep(n, "", 0)
		return nil
	}
	crc := crc64nvme.Checksum(p)
	return u.stage(ctx, n, int64(len(p)), func(block string) error {
		r, err := u.store.blob(u.key).StageBlock(ctx, block, newContent(p), &blockblob.StageBlockOptions{
			CPKInfo: u.store.encrypt, CPKScopeInfo: u.store.scope, TransactionalValidation: blob.TransferValidationTypeCRC64(crc),
		})
		if err != nil {
			return u.store.wrap(ctx, op, u.key, err)
		}
		if err := same(crc, r.ContentCRC64); err != nil {
			return u.store.damaged(op, u.key, r.RequestID, err)
		}
		return nil
	})
}

// CopyPart implements backend.Upload with Put Block From URL.
func (u *upload) CopyPart(ctx context.Context, n int, src string, off, length int64, opts backend.CopyPartOptions) error {
	op := fmt.Sprintf("copy part %d", n)
	if err := checkKey(src); err != nil {
		return err
	}
	if length > caps.MaxCopyPart || length < 1 {
		return fmt.Errorf("azure %s %s: %d bytes: %w", op, u.key, length, backend.ErrTooLarge)
	}
	from, err := u.version(ctx, src, opts.SrcETag)
	switch {
	case err != nil:
		return err
	case off < 0 || length > from.Size-off:
		return fmt.Errorf("azure %s %s: %d bytes at %d of %s, which has %d: %w", op, u.key, length, off, src, from.Size, backend.ErrRange)
	}
	url, authorization, err := u.store.source(ctx, src, false)
	if err != nil {
		return err
	}
	return u.stage(ctx, n, length, func(block string) error {
		_, err := u.store.blob(u.key).StageBlockFromURL(ctx, block, url, &blockblob.StageBlockFromURLOptions{
			Range: blob.HTTPRange{Offset: off, Count: length}, CopySourceAuthorization: authorization,
			CPKInfo: u.store.encrypt, CPKScopeInfo: u.store.scope, SourceCustomerProvidedKey: u.store.sourceKey(),
			SourceModifiedAccessConditions: &blob.SourceModifiedAccessConditions{SourceIfMatch: to.Ptr(azcore.ETag(from.ETag))},
		})
		if err != nil {
			return u.store.wrap(ctx, op, u.key, err)
		}
		return nil
	})
}

// version returns the source of a copied part. The service does not say how many bytes it has copied, so that its size must be
// known beforehand, once for each version.
func (u *upload) version(ctx context.Context, src, etag string) (backend.Object, error) {
	u.mu.Lock()
	o, ok := u.sources[src]
	u.mu.Unlock()
	if ok && etag != "" && etag == o.ETag {
		return o, nil
	}
	o, err := u.store.Stat(ctx, src)
	switch {
	case err != nil:
		return backend.Object{}, err
	case etag != "" && o.ETag != etag:
		return backend.Object{}, u.store.changed("copy part of "+u.key+" from", src, o.ETag, etag)
	case o.Archived:
		return backend.Object{}, u.store.failure("copy part of "+u.key+" from", src, backend.ErrArchived, errors.New("it cannot be read"))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sources[src] = o
	return o, nil
}

// Commit implements backend.Upload with Put Block List.
func (u *upload) Commit(ctx context.Context, n int) (backend.Object, error) {
	blocks, size, err := u.whole(n)
	if err != nil {
		return backend.Object{}, err
	}
	a := u.opts.Attributes
	mode, until, hold := u.store.cfg.Protection.lock(u.key)
	r, err := u.store.blob(u.key).CommitBlockList(ctx, blocks, &blockblob.CommitBlockListOptions{
		HTTPHeaders: headers(a), Metadata: metadata(u.key, size, a), Tags: u.tags, Tier: u.store.tier(a), AccessConditions: condition(u.opts.If),
		CPKInfo: u.store.encrypt, CPKScopeInfo: u.store.scope, ImmutabilityPolicyMode: mode, ImmutabilityPolicyExpiryTime: until, LegalHold: hold,
	})
	etag, updated := quoted(r.ETag), r.LastModified
	if err != nil {
		err = unmet(u.opts.If, u.store.wrap(ctx, "commit", u.key, err))
		// The answer may have been lost, and a second try have met what the first has done.
		if errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrChanged) {
			err = u.committed(ctx, blocks, err)
		}
		if err != nil {
			return backend.Object{}, err
		}
		etag, updated = "", nil
	}
	o := u.store.written(u.key, size, etag, updated, a)
	switch now, err := u.store.Stat(ctx, u.key); {
	case err != nil && etag == "":
		return backend.Object{}, err
	case etag != "" && now.ETag != etag: // replaced meanwhile, or these credentials may not look
	case now.Size != size:
		return backend.Object{}, u.store.damaged("commit", u.key, r.RequestID, fmt.Errorf("the store has %d bytes, sent were %d", now.Size, size))
	default:
		o = now
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
	return o, nil
}

// whole returns the blocks of the parts 1 to n, and their size.
func (u *upload) whole(n int) (blocks []string, size int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil, 0, fmt.Errorf("azure commit %s: the upload was aborted", u.key)
	}
	if n < 1 {
		return nil, 0, fmt.Errorf("azure commit %s: no part was written", u.key)
	}
	for i := 1; i <= n; i++ {
		p, ok := u.parts[i]
		if !ok {
			return nil, 0, fmt.Errorf("azure commit %s: part %d was not written", u.key, i)
		}
		if size += p.size; p.block != "" {
			blocks = append(blocks, p.block)
		}
	}
	return blocks, size, nil
}

// committed looks whether a commit that failed with err has been done all the same: whether the blob is made of its blocks. No other upload has
// blocks of their names. Where it is not, the error is that of backend.Told.
func (u *upload) committed(ctx context.Context, blocks []string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	r, look := u.store.blob(u.key).GetBlockList(ctx, blockblob.BlockListTypeCommitted, nil)
	if look != nil {
		return backend.Told(err, u.store.wrap(ctx, "look for", u.key, look))
	}
	if len(blocks) > 0 && slices.EqualFunc(r.CommittedBlocks, blocks, func(b *blockblob.Block, id string) bool { return value(b.Name) == id }) {
		return nil
	}
	return err
}

// Abort implements backend.Upload. There is no call that drops uncommitted blocks without writing the blob: the service does
// it with the next write of the key, or after a week.
func (u *upload) Abort(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return u.store.wrap(ctx, "abort", u.key, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = !u.done
	return nil
}
