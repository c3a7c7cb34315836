package gcs

import (
	"crypto/md5" //nolint:gosec // what the store keeps
	"encoding/binary"
	"hash/crc32"
	"maps"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"

	"sluice/backend"
)

// Keys of user metadata that hold a modification time. rclone writes the first two, Google's tools the second, gcsfuse the third.
const (
	rcloneKey  = "mtime"                    // RFC 3339 with a fraction
	googleKey  = "goog-reserved-file-mtime" // seconds since 1970
	gcsfuseKey = "gcsfuse_mtime"            // RFC 3339 with a fraction
)

// standard is the class that Object does not name.
const standard = "STANDARD"

// writeMetadata makes user metadata of attributes. It is never nil.
func writeMetadata(a backend.Attributes) map[string]string {
	m := make(map[string]string, len(a.Metadata)+2)
	for k, v := range a.Metadata {
		m[strings.ToLower(k)] = v
	}
	if !a.ModTime.IsZero() {
		m[rcloneKey] = a.ModTime.UTC().Format(time.RFC3339Nano)
		m[googleKey] = strconv.FormatInt(a.ModTime.Unix(), 10)
	}
	return m
}

// readMetadata splits user metadata into what Object holds and the modification time, whichever program has written that.
func readMetadata(stored map[string]string) (m map[string]string, mtime time.Time) {
	m = make(map[string]string, len(stored))
	for k, v := range stored {
		m[strings.ToLower(k)] = v
	}
	for _, k := range []string{gcsfuseKey, googleKey, rcloneKey} { // the last one counts
		if t, ok := parseTime(m[k]); ok {
			mtime = t
			delete(m, k)
		}
	}
	return m, mtime
}

// parseTime reads RFC 3339, or seconds since 1970 with or without a fraction.
func parseTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), true
	}
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	nsec, fracErr := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	if err != nil || fracErr != nil || nsec < 0 {
		return time.Time{}, false
	}
	if strings.HasPrefix(whole, "-") {
		nsec = -nsec
	}
	return time.Unix(sec, nsec).UTC(), true
}

// contentType is what is sent where the caller knows none; the SDK would guess from the first bytes.
func contentType(s string) string {
	if s == "" {
		return "application/octet-stream"
	}
	return s
}

// class is the storage class as Object names it.
func class(s string) string {
	if s == standard {
		return ""
	}
	return s
}

// describeAs makes the SDK's attributes of ours, in the class given or else the one that is configured, and with its protection.
func (s *Store) describeAs(key string, a backend.Attributes) storage.ObjectAttrs {
	attrs := storage.ObjectAttrs{
		ContentType: contentType(a.ContentType), StorageClass: firstOf(a.StorageClass, s.cfg.StorageClass), Metadata: writeMetadata(a),
	}
	s.cfg.Protection.apply(key, &attrs)
	return attrs
}

// object makes an Object of what the store says about one.
func object(a *storage.ObjectAttrs) backend.Object {
	o := backend.Object{
		Key: a.Name, Size: a.Size, Updated: a.Updated, ETag: strconv.FormatInt(a.Generation, 10), ContentType: a.ContentType, StorageClass: class(a.StorageClass),
	}
	o.Metadata, o.ModTime = readMetadata(a.Metadata)
	return o
}

// checksums are what the store keeps of the whole content. A composed object has no MD5; that the store tells no CRC-32C looks as if it were
// zero.
func checksums(a *storage.ObjectAttrs) map[string][]byte {
	sums := map[string][]byte{}
	if a.CRC32C != 0 || a.Size == 0 {
		sums["CRC32C"] = binary.BigEndian.AppendUint32(nil, a.CRC32C)
	}
	if len(a.MD5) == md5.Size {
		sums["MD5"] = a.MD5
	}
	return sums
}

// keep returns the attributes that make a copy of an object the same as itself.
func keep(a *storage.ObjectAttrs) storage.ObjectAttrs {
	return storage.ObjectAttrs{
		ContentType: a.ContentType, ContentEncoding: a.ContentEncoding, ContentLanguage: a.ContentLanguage, ContentDisposition: a.ContentDisposition,
		CacheControl: a.CacheControl, CustomTime: a.CustomTime, StorageClass: a.StorageClass, Metadata: maps.Clone(a.Metadata),
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// polynomial is CRC-32C, reflected (RFC 3720, section 12.1).
const polynomial = 0x82f63b78

// combine is the CRC-32C of two byte strings joined, of which the second has n bytes: the first sum is moved on by n zero
// bytes, as powers of the matrix that moves it on by one bit.
func combine(a, b uint32, n int64) uint32 {
	var m [32]uint32 // column i is where bit i goes
	m[0] = polynomial
	for i := 1; i < len(m); i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // one bit, two, four, eight: a byte
		m = square(m)
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			a = times(&m, a)
		}
		m = square(m)
	}
	return a ^ b
}

func square(m [32]uint32) (sq [32]uint32) {
	for i := range m {
		sq[i] = times(&m, m[i])
	}
	return sq
}

func times(m *[32]uint32, v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}
