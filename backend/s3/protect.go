package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // by which S3 checks that a customer key arrived whole
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

// Protection is what S3 is asked to do with every object that is written, besides storing it. The zero value leaves all of it to
// the bucket.
type Protection struct {
	Encryption    string // aes256 (SSE-S3), kms (SSE-KMS), kms-dsse; empty: the default of the bucket
	KMSKey        string // id, alias or ARN of the key for kms and kms-dsse; empty: the one that AWS manages
	BucketKey     bool   // kms: a key of the bucket in between, which saves requests to KMS
	CustomerKey   string // base64 of the 32 bytes that encrypt every object, which S3 does not keep (SSE-C)
	LockMode      string // governance or compliance: object lock, for LockDays from the write on
	LockDays      int
	LegalHold     bool              // object lock without an end
	Tags          map[string]string // of new objects
	ACL           string            // canned, such as bucket-owner-full-control; empty: the owner alone
	RequesterPays bool              // the requests are paid for by these credentials, not by the owner of the bucket
	BucketOwner   string            // account that the bucket must belong to, or else nothing is done; empty: any
}

var encryptions = map[string]types.ServerSideEncryption{
	"": "", "aes256": types.ServerSideEncryptionAes256, "kms": types.ServerSideEncryptionAwsKms, "kms-dsse": types.ServerSideEncryptionAwsKmsDsse,
}

// lockModes are the values of LockMode.
var lockModes = map[string]types.ObjectLockMode{"": "", "governance": types.ObjectLockModeGovernance, "compliance": types.ObjectLockModeCompliance}

// check says what is wrong with the settings.
func (p Protection) check() error {
	_, encryption := encryptions[p.Encryption]
	_, mode := lockModes[p.LockMode]
	switch {
	case !encryption:
		return fmt.Errorf("encryption %q: use aes256, kms or kms-dsse", p.Encryption)
	case (p.KMSKey != "" || p.BucketKey) && !strings.HasPrefix(p.Encryption, "kms"):
		return errors.New("a KMS key and a bucket key belong to the encryption kms")
	case p.CustomerKey != "" && p.Encryption != "":
		return errors.New("a customer key is an encryption of its own: give no other")
	case !mode:
		return fmt.Errorf("lock mode %q: use governance or compliance", p.LockMode)
	case (p.LockMode == "") != (p.LockDays == 0) || p.LockDays < 0:
		return errors.New("a lock mode and a number of days go together: give both or neither")
	case len(p.Tags) > 10:
		return fmt.Errorf("%d tags: an object has at most 10", len(p.Tags))
	}
	if key, err := base64.StdEncoding.DecodeString(p.CustomerKey); err != nil || p.CustomerKey != "" && len(key) != 32 {
		return errors.New("customer key: give the base64 of 32 bytes")
	}
	return nil
}

// locks reports whether object lock is asked for: then S3 demands a checksum with every body.
func (p Protection) locks() bool { return p.LockMode != "" || p.LegalHold }

// own is where Sluice keeps what is its own. Journals and parts are no records: they are neither locked nor tagged.
const own = ".sluice/"

// protector puts the settings into the input of each call, before anything else looks at it.
type protector struct {
	Protection
	payer                types.RequestPayer
	sse                  types.ServerSideEncryption
	algorithm, key, hash *string // of the customer key
	owner                *string
	tags                 *string
}

func newProtector(p Protection) *protector {
	q := &protector{Protection: p, sse: encryptions[p.Encryption], owner: optional(p.BucketOwner)}
	if p.RequesterPays {
		q.payer = types.RequestPayerRequester
	}
	if p.CustomerKey != "" {
		raw, _ := base64.StdEncoding.DecodeString(p.CustomerKey) // checked
		sum := md5.Sum(raw)
		q.algorithm, q.key, q.hash = aws.String("AES256"), &p.CustomerKey, aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	if len(p.Tags) > 0 {
		v := url.Values{}
		for name, value := range p.Tags {
			v.Set(name, value)
		}
		q.tags = aws.String(strings.ReplaceAll(v.Encode(), "+", "%20"))
	}
	return q
}

// install makes it part of every call.
func (q *protector) install(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Protect", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		q.dress(in.Parameters)
		return next.HandleInitialize(ctx, in)
	}), middleware.Before)
}

func (q *protector) dress(input any) {
	switch in := input.(type) {
	case *s3.HeadObjectInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
	case *s3.GetObjectInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
	case *s3.PutObjectInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = q.sse, optional(q.KMSKey), flag(q.BucketKey)
		in.ACL = types.ObjectCannedACL(q.ACL)
		in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = q.lock(in.Key)
		in.Tagging = q.label(in.Key)
	case *s3.CreateMultipartUploadInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = q.sse, optional(q.KMSKey), flag(q.BucketKey)
		in.ACL = types.ObjectCannedACL(q.ACL)
		in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = q.lock(in.Key)
		in.Tagging = q.label(in.Key)
	case *s3.CopyObjectInput: // keeps the tags of the source, and nothing else of this
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
		in.ExpectedSourceBucketOwner, in.CopySourceSSECustomerAlgorithm, in.CopySourceSSECustomerKey, in.CopySourceSSECustomerKeyMD5 = q.owner, q.algorithm, q.key, q.hash
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = q.sse, optional(q.KMSKey), flag(q.BucketKey)
		in.ACL = types.ObjectCannedACL(q.ACL)
		in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ObjectLockLegalHoldStatus = q.lock(in.Key)
	case *s3.UploadPartInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
	case *s3.UploadPartCopyInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
		in.ExpectedSourceBucketOwner, in.CopySourceSSECustomerAlgorithm, in.CopySourceSSECustomerKey, in.CopySourceSSECustomerKeyMD5 = q.owner, q.algorithm, q.key, q.hash
	case *s3.CompleteMultipartUploadInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
	case *s3.ListPartsInput:
		in.ExpectedBucketOwner, in.RequestPayer, in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = q.owner, q.payer, q.algorithm, q.key, q.hash
	case *s3.AbortMultipartUploadInput:
		in.ExpectedBucketOwner, in.RequestPayer = q.owner, q.payer
	case *s3.DeleteObjectInput:
		in.ExpectedBucketOwner, in.RequestPayer = q.owner, q.payer
	case *s3.ListObjectsV2Input:
		in.ExpectedBucketOwner, in.RequestPayer = q.owner, q.payer
	case *s3.RestoreObjectInput:
		in.ExpectedBucketOwner, in.RequestPayer = q.owner, q.payer
	}
}

// lock is object lock from now on, for files alone: neither for markers of directories nor for what is Sluice's own.
func (q *protector) lock(key *string) (mode types.ObjectLockMode, until *time.Time, hold types.ObjectLockLegalHoldStatus) {
	if k := aws.ToString(key); strings.HasPrefix(k, own) || strings.HasSuffix(k, "/") {
		return "", nil, ""
	}
	if q.LegalHold {
		hold = types.ObjectLockLegalHoldStatusOn
	}
	if q.LockMode == "" {
		return "", nil, hold
	}
	return lockModes[q.LockMode], aws.Time(time.Now().UTC().AddDate(0, 0, q.LockDays)), hold
}

// label is the tags of a new object.
func (q *protector) label(key *string) *string {
	if strings.HasPrefix(aws.ToString(key), own) {
		return nil
	}
	return q.tags
}

func flag(on bool) *bool {
	if !on {
		return nil
	}
	return &on
}
