package azure

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"sluice/backend"
)

// Restore implements backend.Store with Set Blob Tier, out of the archive and for good: opts.Days means nothing here. opts.Tier is the
// priority of the rehydration, Standard or High.
func (s *Store) Restore(ctx context.Context, key string, opts backend.RestoreOptions) error {
	o, p, err := s.stat(ctx, key)
	if err != nil || !o.Archived || value(p.ArchiveStatus) != "" { // which tells that it is under way
		return err
	}
	out := blob.AccessTierHot
	if t := blob.AccessTier(s.cfg.AccessTier); t != "" && t != blob.AccessTierArchive {
		out = t
	}
	var how blob.SetTierOptions
	if opts.Tier != "" {
		how.RehydratePriority = to.Ptr(blob.RehydratePriority(opts.Tier))
	}
	_, err = s.blob(key).SetTier(ctx, out, &how)
	if err != nil && errorCode(err) != string(bloberror.BlobBeingRehydrated) {
		return s.wrap(ctx, "restore", key, err)
	}
	return nil
}
