//go:build e2e

package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"pgregory.net/rapid"

	"sluice/backend"
	"sluice/backend/storetest"
	"sluice/backend/storetest/versitygw"
	"sluice/backend/vfs/vfstest"
)

// open returns an empty bucket of versitygw, or of the server that SLUICE_S3_ENDPOINT names (CONTRIBUTING.md says how).
func open(t testing.TB) *Store {
	t.Helper()
	if os.Getenv("SLUICE_S3_ENDPOINT") != "" {
		return elsewhere(t)
	}
	g := versitygw.Start(t)
	s, err := Open(t.Context(), Config{
		Bucket: g.Bucket, Region: "us-east-1", Endpoint: g.Endpoint, PathStyle: true, AccessKey: g.AccessKey, SecretKey: g.SecretKey, PageSize: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// elsewhere makes a bucket on another server, for as long as the test runs.
func elsewhere(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Bucket: "sluice-" + strings.ToLower(rand.Text()), Region: "us-east-1", Endpoint: os.Getenv("SLUICE_S3_ENDPOINT"), PathStyle: true,
		AccessKey: os.Getenv("SLUICE_S3_ACCESS_KEY"), SecretKey: os.Getenv("SLUICE_S3_SECRET_KEY"), Checksum: os.Getenv("SLUICE_S3_CHECKSUM"), PageSize: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.cfg.Bucket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for e, err := range s.List(ctx, "", backend.ListOptions{Recursive: true}) {
			if err == nil {
				err = s.Delete(ctx, e.Key, backend.DeleteOptions{})
			}
			if err != nil {
				t.Log(err)
			}
		}
		if _, err := s.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &s.cfg.Bucket}); err != nil {
			t.Log(err)
		}
	})
	return s
}

// lacks are the gaps of versitygw, or those that SLUICE_S3_LACKS names, separated by commas.
func lacks() map[storetest.Gap]string {
	if os.Getenv("SLUICE_S3_ENDPOINT") == "" {
		return ofVersitygw
	}
	gaps := map[storetest.Gap]string{}
	for name := range strings.SplitSeq(os.Getenv("SLUICE_S3_LACKS"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			gaps[storetest.Gap(name)] = "SLUICE_S3_LACKS"
		}
	}
	return gaps
}

// ofVersitygw are the gaps of a server whose objects are files of a directory.
var ofVersitygw = map[storetest.Gap]string{
	storetest.Nested:         "objects are files, so that none can have the name of a folder",
	storetest.EmptySegments:  "file names cannot be empty",
	storetest.LongKeys:       "paths are limited by the file system",
	storetest.LongNames:      "file names have at most 255 bytes",
	storetest.ControlBytes:   "listings are not URL-encoded, and XML has no such bytes",
	storetest.FullMarkers:    "a folder holds no data",
	storetest.DeleteVersion:  "If-Match on DeleteObject means nothing where there is no object",
	storetest.TemporaryNames: "an object is replaced by renaming a file that the listing shows meanwhile",
	storetest.CopyCondition:  "CopyObject does not read the conditions on its destination",
}

// TestE2EStore runs the suite against a real server.
func TestE2EStore(t *testing.T) {
	again := func(t testing.TB, s backend.Store) backend.Store {
		t.Helper()
		other, err := Open(t.Context(), s.(*Store).cfg)
		if err != nil {
			t.Fatal(err)
		}
		return other
	}
	storetest.Run(t, func(t *testing.T) backend.Store { return open(t) }, storetest.Options{Page: 3, Again: again, Lacks: lacks()})
}

// TestE2EResumeChecksums resumes uploads with each algorithm: the checksums of the parts come from the server.
func TestE2EResumeChecksums(t *testing.T) {
	cfg := open(t).cfg
	for _, algorithm := range []checksum{crc64NVME, crc32C, crc32IEEE, md5Sum, noSum} {
		cfg.Checksum = string(algorithm)
		var want []byte
		id := ""
		for n := 1; n <= 3; n++ {
			s, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var u backend.Upload
			if n == 1 {
				u, err = s.NewUpload(t.Context(), "o", backend.PutOptions{})
			} else {
				u, err = s.ResumeUpload(t.Context(), "o", id, backend.PutOptions{})
			}
			if err != nil {
				t.Fatalf("%s: %v", algorithm, err)
			}
			id = u.ID()
			p := bytes.Repeat([]byte{byte('0' + n)}, int(caps.MinPart)+n)
			want = append(want, p...)
			if err := u.WritePart(t.Context(), n, p); err != nil {
				t.Fatalf("%s: %v", algorithm, err)
			}
			if n < 3 {
				continue
			}
			o, err := u.Commit(t.Context(), 3)
			if err != nil || o.Size != int64(len(want)) {
				t.Fatalf("%s: %+v, %v", algorithm, o, err)
			}
			r, _, err := s.Open(t.Context(), "o", backend.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: read %d bytes, %v, want %d", algorithm, len(got), err, len(want))
			}
		}
	}
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
