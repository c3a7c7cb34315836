package azure

import (
	"regexp"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"

	"sluice/backend"
)

// TestTimes: times are written as rclone writes them on Azure, and read as the usual programs do.
func TestTimes(t *testing.T) {
	when := time.Date(2020, 5, 6, 7, 8, 9, 500000000, time.UTC)
	if m := writeMetadata(backend.Attributes{ModTime: when.In(time.FixedZone("", 7200))}); *m["mtime"] != "2020-05-06T07:08:09.500000000Z" {
		t.Errorf("written as %q", *m["mtime"])
	}
	for name, h := range map[string]map[string]*string{
		"rclone":             {"mtime": to.Ptr("2020-05-06T07:08:09.500000000Z")},
		"with a zone":        {"Mtime": to.Ptr("2020-05-06T09:08:09.5+02:00")},
		"s3fs, rclone on S3": {"mtime": to.Ptr("1588748889.5")},
		"gcsfuse":            {"gcsfuse_mtime": to.Ptr("2020-05-06T07:08:09.5Z")},
		"rclone first":       {"gcsfuse_mtime": to.Ptr("2001-01-01T00:00:00Z"), "MTIME": to.Ptr("2020-05-06T07:08:09.5Z")},
	} {
		if m, got := readMetadata(h); !got.Equal(when) || len(m) > 0 {
			t.Errorf("%s: %v, %v", name, got, m)
		}
	}
	if _, got := readMetadata(map[string]*string{"mtime": to.Ptr("-1.5")}); !got.Equal(time.Unix(-2, 5e8)) {
		t.Errorf("before 1970: %v", got)
	}
	for _, bad := range []string{"", "yesterday", "1.x", "1e9"} {
		if m, got := readMetadata(map[string]*string{"mtime": &bad}); !got.IsZero() || m["mtime"] != bad {
			t.Errorf("%q is read as %v, %v", bad, got, m)
		}
	}
}

// TestNamesOfMetadata: names that Azure does not take travel as others, and come back.
func TestNamesOfMetadata(t *testing.T) {
	identifier := regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	seen := map[string]string{}
	for _, name := range []string{"plain", "with_line", "hdi_isfolder", "goog-reserved-file-mtime", "1st", "a.b", "a b", "ü", "x-y_x2", "_x", "-", "a1"} {
		got := escapeName(name)
		if !identifier.MatchString(got) || seen[got] != "" || unescapeName(got) != name {
			t.Errorf("%q becomes %q, which is read as %q", name, got, unescapeName(got))
		}
		seen[got] = name
		if identifier.MatchString(name) && got != name {
			t.Errorf("%q becomes %q without need", name, got)
		}
	}
	m, _ := readMetadata(writeMetadata(backend.Attributes{Metadata: map[string]string{"A-b": "grün", "c": "plain = 50%"}}))
	if m["a-b"] != "grün" || m["c"] != "plain = 50%" || len(m) != 2 {
		t.Errorf("%q", m)
	}
}
