package s3

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// kept returns the checksums of a whole object that a server tells in the answer to a HeadObject in checksum mode, by the names of
// backend.Object. What is made of the checksums of parts is left out.
func kept(out *s3.HeadObjectOutput, bucket string) map[string][]byte {
	sums := map[string][]byte{}
	if sum, ok := contentMD5(out, bucket); ok {
		sums["MD5"] = sum
	}
	// A server that tells no type may be one that knows only what a PutObject was given.
	if out.ChecksumType != types.ChecksumTypeFullObject && (out.ChecksumType != "" || inParts(aws.ToString(out.ETag))) {
		return sums
	}
	for _, c := range []struct {
		name  string
		value *string
		size  int
	}{
		{"CRC32", out.ChecksumCRC32, 4}, {"CRC32C", out.ChecksumCRC32C, 4}, {"CRC64NVME", out.ChecksumCRC64NVME, 8},
		{"SHA-1", out.ChecksumSHA1, 20}, {"SHA-256", out.ChecksumSHA256, 32},
	} {
		if sum, err := base64.StdEncoding.DecodeString(aws.ToString(c.value)); err == nil && len(sum) == c.size {
			sums[c.name] = sum
		}
	}
	return sums
}

// contentMD5 returns the ETag where it is the MD5 of the content: of an object that was not written in parts, is not
// encrypted with a key of KMS or the client, and is in no directory bucket (Amazon S3 API Reference, "Object"; User Guide, "Directory
// buckets").
func contentMD5(out *s3.HeadObjectOutput, bucket string) ([]byte, bool) {
	if strings.HasSuffix(bucket, "--x-s3") || out.SSECustomerAlgorithm != nil {
		return nil, false
	}
	if e := out.ServerSideEncryption; e != "" && e != types.ServerSideEncryptionAes256 {
		return nil, false
	}
	sum, err := hex.DecodeString(strings.Trim(aws.ToString(out.ETag), `"`))
	return sum, err == nil && len(sum) == 16
}

// inParts reports whether an ETag is that of an object written in parts: it ends in their number.
func inParts(etag string) bool { return strings.Contains(etag, "-") }
