package s3

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/backend"
)

// maxRestoreDays is the largest number of days that is asked for.
const maxRestoreDays = 30_000

// Restore implements backend.Store with RestoreObject. What comes back from an archive tier of Intelligent-Tiering comes for good,
// and takes no number of days (Amazon S3 API Reference, "RestoreObject").
func (s *Store) Restore(ctx context.Context, key string, opts backend.RestoreOptions) error {
	o, err := s.Stat(ctx, key)
	if err != nil || !o.Archived {
		return err
	}
	order := &types.RestoreRequest{}
	if o.StorageClass != string(types.StorageClassIntelligentTiering) {
		order.Days = aws.Int32(int32(max(1, min(opts.Days, maxRestoreDays))))
	}
	if opts.Tier != "" {
		order.GlacierJobParameters = &types.GlacierJobParameters{Tier: types.Tier(opts.Tier)}
	}
	_, err = s.client.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: &s.cfg.Bucket, Key: &key, RestoreRequest: order})
	if err != nil && apiCode(err) != "RestoreAlreadyInProgress" {
		return s.wrap(ctx, "restore", key, err)
	}
	return nil
}

// class is the storage class as Object names it: nothing for the standard one.
func class(c types.StorageClass) string {
	if c == types.StorageClassStandard {
		return ""
	}
	return string(c)
}

// archived reports whether an object must be restored before it can be read (HeadObject, x-amz-restore).
func archived(c types.StorageClass, restore, status string) bool {
	cold := c == types.StorageClassGlacier || c == types.StorageClassDeepArchive || status != ""
	return cold && !strings.Contains(restore, `ongoing-request="false"`)
}
