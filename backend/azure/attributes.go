package azure

import (
	"fmt"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"sluice/backend"
)

// headers are the properties of a blob that a writer gives. What nobody names is of no known type.
func headers(a backend.Attributes) *blob.HTTPHeaders {
	t := a.ContentType
	if t == "" {
		t = "application/octet-stream"
	}
	return &blob.HTTPHeaders{BlobContentType: &t}
}

// tier is the access tier that a new blob gets; nil for the account's own.
func (s *Store) tier(a backend.Attributes) *blob.AccessTier {
	t := a.StorageClass
	if t == "" {
		t = s.cfg.AccessTier
	}
	if t == "" {
		return nil
	}
	return to.Ptr(blob.AccessTier(t))
}

// class is the storage class as Object names it: nothing for a tier that the account gave.
func class(tier *string, inferred *bool) string {
	if value(inferred) {
		return ""
	}
	return value(tier)
}

// archived reports whether a blob must be rehydrated before it can be read. While that is under way, the tier stays.
func archived(tier *string) bool { return value(tier) == string(blob.AccessTierArchive) }

// mtimeKey is where rclone keeps the modification time of a blob, and in which form.
const (
	mtimeKey  = "mtime"
	mtimeForm = "2006-01-02T15:04:05.000000000Z07:00"
)

// writeMetadata makes headers of attributes. They are ASCII; other values go as RFC 2047 words.
func writeMetadata(a backend.Attributes) map[string]*string {
	m := make(map[string]*string, len(a.Metadata)+1)
	for k, v := range a.Metadata {
		m[escapeName(strings.ToLower(k))] = to.Ptr(mime.BEncoding.Encode("UTF-8", v))
	}
	if !a.ModTime.IsZero() {
		m[mtimeKey] = to.Ptr(a.ModTime.UTC().Format(mtimeForm))
	}
	return m
}

// folderKey marks the blobs that other programs take for directories; in an account with a hierarchical namespace it makes a
// directory of one.
const folderKey = "hdi_isfolder"

// metadata is what a blob is written with: that of its attributes, and of the marker of a directory, which is empty and whose key
// ends in a slash, that it is one.
func metadata(key string, size int64, a backend.Attributes) map[string]*string {
	m := writeMetadata(a)
	if size == 0 && strings.HasSuffix(key, "/") {
		m[folderKey] = to.Ptr("true")
	}
	return m
}

// setMetadata gives an object what the headers of its blob say, but not what its key says.
func setMetadata(o *backend.Object, headers map[string]*string) {
	o.Metadata, o.ModTime = readMetadata(headers)
	if strings.HasSuffix(o.Key, "/") {
		delete(o.Metadata, folderKey)
	}
}

// readMetadata splits the headers of a blob into metadata and the modification time.
func readMetadata(headers map[string]*string) (m map[string]string, mtime time.Time) {
	m = make(map[string]string, len(headers))
	words := new(mime.WordDecoder)
	for k, v := range headers {
		text := value(v)
		if decoded, err := words.DecodeHeader(text); err == nil {
			text = decoded
		}
		m[unescapeName(strings.ToLower(k))] = text
	}
	for _, k := range []string{"gcsfuse_mtime", mtimeKey} { // the last one counts
		if t, ok := parseTime(m[k]); ok {
			mtime = t
			delete(m, k)
		}
	}
	return m, mtime
}

// parseTime reads a time as rclone writes it on Azure, or as it and s3fs write it on S3, in seconds since 1970.
func parseTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), true
	}
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	nsec, fracErr := strconv.ParseUint((frac + "000000000")[:9], 10, 32)
	if err != nil || fracErr != nil {
		return time.Time{}, false
	}
	if strings.HasPrefix(whole, "-") {
		return time.Unix(sec, -int64(nsec)).UTC(), true
	}
	return time.Unix(sec, int64(nsec)).UTC(), true
}

var escaped = regexp.MustCompile(`_x([0-9a-f]{2})_`)

// escapeName makes a name of metadata one that Azure takes: the identifiers of C# (Azure Storage, "Naming and referencing
// containers, blobs, and metadata"). Names that are such pass as they are.
func escapeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_', 'a' <= c && c <= 'z', '0' <= c && c <= '9' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_x%02x_", c)
		}
	}
	return b.String()
}

func unescapeName(name string) string {
	return escaped.ReplaceAllStringFunc(name, func(s string) string {
		c, _ := strconv.ParseUint(s[2:4], 16, 8) // the pattern lets nothing else through
		return string([]byte{byte(c)})
	})
}
