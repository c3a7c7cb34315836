//go:build e2e

package s3

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/storetest/versitygw"
	"sluice/backend/vfs/vfstest"
)

func open(t *testing.T) *Store {
	t.Helper()
	g := versitygw.Start(t)
	s, err := Open(t.Context(), Config{
		Bucket: g.Bucket, Region: "us-east-1", Endpoint: g.Endpoint, PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey, PageSize: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestE2EStore runs the suite against versitygw, whose objects are files of a directory.
func TestE2EStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) backend.Store { return open(t) }, storetest.Options{Page: 3, Lacks: map[storetest.Gap]string{
		storetest.Nested:         "objects are files, so that none can have the name of a folder",
		storetest.EmptySegments:  "file names cannot be empty",
		storetest.LongKeys:       "paths are limited by the file system",
		storetest.LongNames:      "file names have at most 255 bytes",
		storetest.ControlBytes:   "listings are not URL-encoded, and XML has no such bytes",
		storetest.FullMarkers:    "a folder holds no data",
		storetest.DeleteVersion:  "If-Match on DeleteObject means nothing where there is no object",
		storetest.TemporaryNames: "an object is replaced by renaming a file that the listing shows meanwhile",
		storetest.CopyCondition:  "CopyObject does not read the conditions on its destination",
	}})
}

// TestE2ETree runs the model of the tree against versitygw.
func TestE2ETree(t *testing.T) {
	s := open(t)
	n := 0
	vfstest.Run(t, func(*rapid.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}

// TestE2ECheck: what an operator gets wrong is named in one sentence.
func TestE2ECheck(t *testing.T) {
	g := versitygw.Start(t)
	good := Config{Bucket: g.Bucket, Endpoint: g.Endpoint, PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":           {func(*Config) {}, ""},
		"missing bucket": {func(c *Config) { c.Bucket = "nowhere" }, "does not exist"},
		"wrong key":      {func(c *Config) { c.SecretKey = "wrong" }, "refuses the keys"},
		"unknown key":    {func(c *Config) { c.AccessKey = "nobody" }, "refuses the keys"},
		"unreachable":    {func(c *Config) { c.Endpoint = "http://127.0.0.1:1" }, "cannot be reached"},
	} {
		cfg := good
		tc.change(&cfg)
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(name, err)
		}
		err = s.Check(t.Context())
		switch {
		case tc.want == "" && err == nil:
		case tc.want == "" || err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), g.SecretKey):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestE2EFaults lets requests of the tree fail, and somebody else write between them.
func TestE2EFaults(t *testing.T) {
	s := open(t)
	n := 0
	vfstest.Faults(t, func(*testing.T) (backend.Store, string) {
		n++
		return s, fmt.Sprintf("run%d/", n)
	})
}
