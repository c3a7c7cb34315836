package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// ResumeUpload implements backend.Store with ListParts.
func (s *Store) ResumeUpload(ctx context.Context, key, id string, opts backend.PutOptions) (backend.Upload, error) {
	if err := backend.CheckKey(key, caps.MaxKey); err != nil {
		return nil, err
	}
	u := &upload{store: s, key: key, id: &id, opts: opts, parts: map[int]part{}}
	if _, err := u.Parts(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// ID implements backend.Upload.
func (u *upload) ID() string { return *u.id }

// Parts implements backend.Upload with ListParts. What it finds counts from then on, with the checksums that the store has.
func (u *upload) Parts(ctx context.Context) ([]backend.Part, error) {
	in := &s3.ListPartsInput{Bucket: &u.store.cfg.Bucket, Key: &u.key, UploadId: u.id}
	if u.store.cfg.PageSize > 0 {
		in.MaxParts = aws.Int32(int32(min(u.store.cfg.PageSize, 1000)))
	}
	var parts []backend.Part
	pages := s3.NewListPartsPaginator(u.store.client, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, u.store.wrap(ctx, "parts", u.key, err)
		}
		for _, p := range page.Parts {
			parts = append(parts, backend.Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size)})
			u.found(p)
		}
	}
	return parts, nil
}

// found takes over a part that the store has. The own knowledge of it stays if it is the same.
func (u *upload) found(has types.Part) {
	p := part{size: aws.ToInt64(has.Size), CompletedPart: types.CompletedPart{
		ETag: has.ETag, ChecksumCRC64NVME: has.ChecksumCRC64NVME, ChecksumCRC32C: has.ChecksumCRC32C, ChecksumCRC32: has.ChecksumCRC32,
	}}
	if has.ChecksumCRC64NVME != nil {
		p.crc64, p.checked = decode64(*has.ChecksumCRC64NVME)
	}
	n := int(aws.ToInt32(has.PartNumber))
	u.mu.Lock()
	known, ok := u.parts[n]
	u.mu.Unlock()
	if !ok || known.size != p.size || aws.ToString(known.ETag) != aws.ToString(p.ETag) {
		u.keep(n, p)
	}
}
