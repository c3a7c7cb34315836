package azure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"sluice/backend"
)

const (
	sourceTime   = time.Hour // how long the service may read the source of a copy
	storageScope = "https://storage.azure.com/.default"
)

// Copy implements backend.Store with Put Blob From URL. What it cannot do, or a server that lacks it, is done by one block
// copied and committed.
func (s *Store) Copy(ctx context.Context, dst, src string, opts backend.CopyOptions) (backend.Object, error) {
	if err := checkKey(dst); err != nil {
		return backend.Object{}, err
	}
	from, p, err := s.stat(ctx, src)
	switch {
	case err != nil:
		return backend.Object{}, err
	case opts.SrcETag != "" && opts.SrcETag != from.ETag:
		return backend.Object{}, s.changed("copy", src, from.ETag, opts.SrcETag)
	case from.Archived && dst != src:
		return backend.Object{}, s.failure("copy", src, backend.ErrArchived, errors.New("it cannot be read"))
	case from.Size > caps.MaxCopy && dst != src:
		return backend.Object{}, s.failure("copy", src, backend.ErrTooLarge, fmt.Errorf("%d bytes", from.Size))
	}
	a := from.Attributes()
	if opts.StorageClass != "" {
		a.StorageClass = opts.StorageClass
	}
	if opts.Replace != nil {
		a = *opts.Replace
	}
	put := backend.PutOptions{Attributes: a, If: opts.If}
	m := metadata(dst, from.Size, a)
	switch {
	case dst == src:
		return s.rewrite(ctx, from, p, put)
	case from.Size == 0:
		return s.Put(ctx, dst, nil, put)
	case s.byBlocks.Load(), s.cfg.Protection.locks(), len(m) == 0 && len(p.Metadata) > 0: // Put Blob From URL locks nothing, and where no metadata is named, it takes that of the source
		return s.copyBlock(ctx, dst, from, value(p.TagCount), put)
	}
	tags := value(p.TagCount)
	url, authorization, err := s.source(ctx, src, tags > 0)
	if err != nil {
		return backend.Object{}, err
	}
	o := &blockblob.UploadBlobFromURLOptions{
		CopySourceAuthorization: authorization, CopySourceBlobProperties: to.Ptr(false), HTTPHeaders: headers(a), Metadata: m, Tier: s.tier(a),
		AccessConditions: condition(opts.If), CPKInfo: s.encrypt, CPKScopeInfo: s.scope, SourceCustomerProvidedKey: s.sourceKey(),
		SourceModifiedAccessConditions: &blob.SourceModifiedAccessConditions{SourceIfMatch: to.Ptr(azcore.ETag(from.ETag))},
	}
	if tags > 0 {
		o.CopySourceTags = to.Ptr(blockblob.BlobCopySourceTagsCopy)
	}
	counting, sent := counted(ctx)
	r, err := s.blob(dst).UploadBlobFromURL(counting, url, o)
	var refused *azcore.ResponseError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotImplemented {
		s.byBlocks.Store(true)
		return s.copyBlock(ctx, dst, from, tags, put)
	}
	if err != nil {
		err = unmet(opts.If, s.wrap(ctx, "copy", src+" to "+dst, err))
		if errors.Is(err, backend.ErrChanged) && sent.Load() > 1 {
			return s.made(ctx, dst, from.Size, p.ContentMD5, err)
		}
		return backend.Object{}, err
	}
	made := s.written(dst, from.Size, quoted(r.ETag), r.LastModified, a)
	if len(p.ContentMD5) > 0 && bytes.Equal(p.ContentMD5, r.ContentMD5) {
		return made, nil
	}
	now, err := s.Stat(ctx, dst) // before anybody deletes the source
	switch {
	case err != nil:
		return backend.Object{}, err
	case now.ETag == made.ETag && now.Size != from.Size:
		return backend.Object{}, s.damaged("copy", src+" to "+dst, r.RequestID, fmt.Errorf("the copy has %d bytes, the source %d", now.Size, from.Size))
	}
	return made, nil
}

// Move implements backend.Store: a flat namespace has no rename.
func (s *Store) Move(_ context.Context, dst, src string, _ backend.MoveOptions) (backend.Object, error) {
	return backend.Object{}, fmt.Errorf("azure move %s to %s: %w", src, dst, backend.ErrUnsupported)
}

func (s *Store) copyBlock(ctx context.Context, dst string, from backend.Object, tags int64, put backend.PutOptions) (backend.Object, error) {
	u := newUpload(s, dst, newName(), put)
	if tags > 0 {
		r, err := s.blob(from.Key).GetTags(ctx, nil)
		if err != nil {
			return backend.Object{}, s.wrap(ctx, "copy tags", from.Key, err)
		}
		u.tags = map[string]string{}
		for _, t := range r.BlobTagSet {
			u.tags[value(t.Key)] = value(t.Value)
		}
	}
	u.sources[from.Key] = from
	if err := u.CopyPart(ctx, 1, from.Key, 0, from.Size, backend.CopyPartOptions{SrcETag: from.ETag}); err != nil {
		return backend.Object{}, err
	}
	return u.Commit(ctx, 1)
}

// source is the URL of a blob with what lets the service read it on our behalf, and its tags if need be: a signature in the URL, or
// a token beside.
func (s *Store) source(ctx context.Context, key string, tags bool) (url string, authorization *string, err error) {
	b := s.container.NewBlobClient(key)
	switch {
	case s.token != nil:
		t, err := s.token.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{storageScope}})
		if err != nil {
			return "", nil, s.wrap(ctx, "copy", key, err)
		}
		return b.URL(), to.Ptr("Bearer " + t.Token), nil
	case s.key != nil:
		q, err := sas.BlobSignatureValues{
			ContainerName: s.cfg.Container, BlobName: key, Permissions: (&sas.BlobPermissions{Read: true, Tag: tags}).String(), ExpiryTime: time.Now().Add(sourceTime).UTC(),
		}.SignWithSharedKey(s.key)
		if err != nil {
			return "", nil, s.wrap(ctx, "copy", key, err)
		}
		return b.URL() + "?" + q.Encode(), nil, nil
	}
	return b.URL(), nil, nil // the SAS is in it
}

func (s *Store) sourceKey() *blob.SourceCPKInfo {
	if s.encrypt == nil {
		return nil
	}
	return &blob.SourceCPKInfo{
		SourceEncryptionAlgorithm: s.encrypt.EncryptionAlgorithm, SourceEncryptionKey: s.encrypt.EncryptionKey, SourceEncryptionKeySHA256: s.encrypt.EncryptionKeySHA256,
	}
}

// rewrite gives a blob other attributes: Set Blob Properties if the content type is another, then Set Blob Metadata, each on
// the condition that nobody else has changed the blob.
func (s *Store) rewrite(ctx context.Context, o backend.Object, p blob.GetPropertiesResponse, put backend.PutOptions) (backend.Object, error) {
	if put.If.Absent || put.If.ETag != "" && put.If.ETag != o.ETag {
		return backend.Object{}, s.changed("copy", o.Key, o.ETag, put.If.ETag)
	}
	b := s.blob(o.Key).BlobClient()
	h, a := headers(put.Attributes), put.Attributes
	if *h.BlobContentType != o.ContentType {
		h.BlobCacheControl, h.BlobContentDisposition, h.BlobContentEncoding = p.CacheControl, p.ContentDisposition, p.ContentEncoding
		h.BlobContentLanguage, h.BlobContentMD5 = p.ContentLanguage, p.ContentMD5
		r, err := b.SetHTTPHeaders(ctx, *h, &blob.SetHTTPHeadersOptions{AccessConditions: condition(backend.Condition{ETag: o.ETag})})
		if err != nil {
			return backend.Object{}, unmet(backend.Condition{ETag: o.ETag}, s.wrap(ctx, "set properties", o.Key, err))
		}
		o.ETag, o.Updated, o.ContentType = quoted(r.ETag), value(r.LastModified), *h.BlobContentType
	}
	counting, sent := counted(ctx)
	r, err := b.SetMetadata(counting, metadata(o.Key, o.Size, a), &blob.SetMetadataOptions{
		AccessConditions: condition(backend.Condition{ETag: o.ETag}), CPKInfo: s.encrypt, CPKScopeInfo: s.scope,
	})
	if err != nil {
		err = unmet(backend.Condition{ETag: o.ETag}, s.wrap(ctx, "set metadata", o.Key, err))
		if !errors.Is(err, backend.ErrChanged) || sent.Load() == 1 {
			return backend.Object{}, err
		}
		now, statErr := s.Stat(ctx, o.Key) // the first try may have done it, and its answer been lost
		if statErr != nil || now.Size != o.Size || !now.ModTime.Equal(a.ModTime) || !maps.Equal(now.Metadata, a.Metadata) {
			return backend.Object{}, err
		}
		o = now
	} else {
		o.ETag, o.Updated = quoted(r.ETag), value(r.LastModified)
	}
	o.ModTime, o.Metadata = a.ModTime, a.Metadata
	if t := a.StorageClass; t != "" && t != o.StorageClass {
		if _, err := b.SetTier(ctx, blob.AccessTier(t), nil); err != nil {
			return backend.Object{}, s.wrap(ctx, "set tier", o.Key, err)
		}
		o.StorageClass = t
	}
	return o, nil
}
