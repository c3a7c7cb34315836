package s3

import (
	"crypto/md5" //nolint:gosec // what some S3-compatible servers ask for, against errors of transport
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
)

// checksum is the algorithm by which bodies are checked on their way. It is computed here, once, and sent as a header: what
// the SDK would do by itself is another pass over the body, or a chunked encoding that many servers refuse.
type checksum string

// Algorithms of Config.Checksum.
const (
	crc64NVME checksum = "crc64nvme"
	crc32C    checksum = "crc32c"
	crc32IEEE checksum = "crc32"
	md5Sum    checksum = "md5"
	noSum     checksum = "none"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums are the checksum headers of one body; at most one is set.
type sums struct {
	crc64nvme, crc32c, crc32, md5 *string
	crc64                         uint64 // the value of crc64nvme
}

func (c checksum) of(p []byte) sums {
	switch c {
	case crc64NVME:
		v := crc64nvme.Checksum(p)
		return sums{crc64nvme: encode64(v), crc64: v}
	case crc32C:
		return sums{crc32c: encode32(crc32.Checksum(p, castagnoli))}
	case crc32IEEE:
		return sums{crc32: encode32(crc32.ChecksumIEEE(p))}
	case md5Sum:
		v := md5.Sum(p)
		s := base64.StdEncoding.EncodeToString(v[:])
		return sums{md5: &s}
	}
	return sums{}
}

// algorithm is what CreateMultipartUpload has to be told.
func (c checksum) algorithm() (types.ChecksumAlgorithm, types.ChecksumType) {
	switch c {
	case crc64NVME:
		return types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject
	case crc32C:
		return types.ChecksumAlgorithmCrc32c, types.ChecksumTypeComposite
	case crc32IEEE:
		return types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite
	}
	return "", ""
}

func encode64(v uint64) *string {
	s := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, v))
	return &s
}

func encode32(v uint32) *string {
	s := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, v))
	return &s
}

// compare holds what the store says that it has got against what was sent. A store that says nothing is believed.
func (s sums) compare(crc64nvme, crc32c, crc32 *string) error {
	for _, pair := range [][2]*string{{s.crc64nvme, crc64nvme}, {s.crc32c, crc32c}, {s.crc32, crc32}} {
		if pair[0] != nil && pair[1] != nil && *pair[0] != *pair[1] {
			return fmt.Errorf("the store has checksum %s, sent was %s", *pair[1], *pair[0])
		}
	}
	return nil
}

// proof tells from what the store says about an object of n bytes whether these are its bytes. Where no checksum is sent,
// nothing is proven.
func (s sums) proof(n int64) func(*s3.HeadObjectOutput) bool {
	return func(out *s3.HeadObjectOutput) bool {
		if aws.ToInt64(out.ContentLength) != n {
			return false
		}
		for _, pair := range [][2]*string{{s.crc64nvme, out.ChecksumCRC64NVME}, {s.crc32c, out.ChecksumCRC32C}, {s.crc32, out.ChecksumCRC32}} {
			if pair[0] != nil && pair[1] != nil {
				return *pair[0] == *pair[1]
			}
		}
		if s.md5 == nil {
			return false
		}
		b, err := base64.StdEncoding.DecodeString(*s.md5)
		return err == nil && aws.ToString(out.ETag) == `"`+hex.EncodeToString(b)+`"` // of an object from one PutObject
	}
}

// multipartETag is the ETag that S3 gives an object of these parts: the MD5 of their ETags and their number. It is not so with
// SSE-KMS, and elsewhere as the server likes.
func multipartETag(parts []types.CompletedPart) string {
	h := md5.New()
	for _, p := range parts {
		b, err := hex.DecodeString(strings.Trim(aws.ToString(p.ETag), `"`))
		if err != nil || len(b) != md5.Size {
			return ""
		}
		h.Write(b)
	}
	return fmt.Sprintf(`"%x-%d"`, h.Sum(nil), len(parts))
}

// polynomial is CRC-64/NVME, reflected (NVM Express NVM Command Set 5.2.1.3.4).
const polynomial = 0x9a6c9329ac4bc9b5

// combine is the CRC-64/NVME of two byte strings joined, of which the second has n bytes: the first sum is moved on by n zero bytes,
// which multiplies it by x^8n.
func combine(a, b uint64, n int64) uint64 {
	for power := uint64(1) << (63 - 8); n > 0; n >>= 1 {
		if n&1 != 0 {
			a = multiply(a, power)
		}
		power = multiply(power, power)
	}
	return a ^ b
}

// multiply is the product of two polynomials modulo that of CRC-64/NVME. Reflected, the highest bit is that of x^0.
func multiply(a, b uint64) (product uint64) {
	for ; a != 0; a <<= 1 {
		if a>>63 != 0 {
			product ^= b
		}
		b = b>>1 ^ polynomial&-(b&1)
	}
	return product
}

func decode64(s string) (uint64, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
