package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want string // in the error; empty: none
	}{
		"least":             {Config{Bucket: "b"}, ""},
		"no bucket":         {Config{}, "bucket"},
		"bucket with path":  {Config{Bucket: "b/c"}, "bucket"},
		"half the keys":     {Config{Bucket: "b", AccessKey: "hush"}, "go together"},
		"token alone":       {Config{Bucket: "b", SessionToken: "hush"}, "session token"},
		"profile and keys":  {Config{Bucket: "b", AccessKey: "hush", SecretKey: "hush", Profile: "p"}, "exclude"},
		"temporary keys":    {Config{Bucket: "b", AccessKey: "hush", SecretKey: "hush", SessionToken: "hush"}, ""},
		"endpoint, no URL":  {Config{Bucket: "b", Endpoint: "minio:9000"}, "endpoint"},
		"endpoint, keys in": {Config{Bucket: "b", Endpoint: "https://u:hush@minio:9000"}, "endpoint"},
		"endpoint, broken":  {Config{Bucket: "b", Endpoint: "https://u:hush@minio:port"}, "endpoint"},
		"endpoint":          {Config{Bucket: "b", Endpoint: "https://minio:9000"}, ""},
		"checksum":          {Config{Bucket: "b", Checksum: "sha1"}, "checksum"},
	} {
		_, err := Open(t.Context(), tc.cfg)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestCheck: each thing that an operator can get wrong is told apart.
func TestCheck(t *testing.T) {
	for want, tc := range map[string]struct {
		status int
		code   string
	}{
		"does not exist":    {404, "NoSuchBucket"},
		"refuses the keys":  {403, "SignatureDoesNotMatch"},
		"denies access":     {403, "AccessDenied"},
		"correct region":    {301, "PermanentRedirect"},
		"cannot be reached": {503, "SlowDown"},
		"":                  {200, ""},
	} {
		s := wire(t, func(w http.ResponseWriter, _ *http.Request) {
			if tc.status == 200 {
				_, _ = w.Write([]byte("<ListBucketResult><Name>bkt</Name></ListBucketResult>"))
				return
			}
			fail(w, tc.status, tc.code)
		}, Config{})
		s.client = patient(s, 1)
		err := s.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the secret") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%d %s: %v, want %q", tc.status, tc.code, err, want)
		}
	}
}

// TestCheckForeign: a web server that is no S3 server is not a missing bucket, and not an empty one.
func TestCheckForeign(t *testing.T) {
	const page = "<!DOCTYPE HTML>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Error response</title></head><body><p>File not found.</p></body></html>\n"
	for _, tc := range []struct {
		status int
		body   string
		want   string
	}{
		{404, page, " does not answer as S3 does: correct endpoint"},
		{404, "", " does not answer as S3 does: correct endpoint"},
		{400, "Client sent an HTTP request to an HTTPS server.\n", " does not answer as S3 does: correct endpoint"},
		{200, page, " does not answer as S3 does: correct endpoint"},
		{200, "<html></html>", " does not answer as S3 does: correct endpoint"},
		{502, page, " cannot be reached: check the endpoint and that it is running: status 502 Bad Gateway"},
	} {
		s := wire(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		}, Config{})
		s.client = patient(s, 1)
		if err := s.Check(t.Context()); err == nil || err.Error() != s.cfg.Endpoint+tc.want {
			t.Errorf("%d %.20q: %v, want %s", tc.status, tc.body, err, tc.want)
		}
	}
}

// TestCheckSilent: a server that takes the request and never answers is one sentence, and so is what no code fits.
func TestCheckSilent(t *testing.T) {
	end := make(chan struct{})
	s := wire(t, func(http.ResponseWriter, *http.Request) { <-end }, Config{})
	defer close(end)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	want := s.cfg.Endpoint + " did not answer within ms: check the endpoint"
	if err := s.Check(ctx); err == nil || regexp.MustCompile(`within \d+ms`).ReplaceAllString(err.Error(), "within ms") != want {
		t.Errorf("%v, want %s", err, want)
	}

	s = wire(t, func(w http.ResponseWriter, _ *http.Request) { fail(w, 400, "InvalidBucketName") }, Config{})
	want = s.cfg.Endpoint + " does not list bucket bkt: correct the bucket, the endpoint and the region: InvalidBucketName"
	if err := s.Check(t.Context()); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := s.Check(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "operation error") {
		t.Errorf("after the end: %v", err)
	}
}

// TestCheckCredentials: without keys the endpoint is not asked and not blamed, and the SDK says nothing of its own.
func TestCheckCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_DISABLED"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	machine := httptest.NewServer(http.NotFoundHandler()) // has no role; its answer is what the SDK used to warn of
	defer machine.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.URL)

	out, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = out
	defer func() { os.Stderr = old }()
	var asked atomic.Bool
	store := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer store.Close()
	s, err := Open(t.Context(), Config{Bucket: "bkt", Endpoint: store.URL, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	const want = "no credentials for bucket bkt: give accessKey and secretKey, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role provides them"
	if err := s.Check(t.Context()); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if said, err := os.ReadFile(out.Name()); err != nil || len(said) > 0 || asked.Load() {
		t.Errorf("standard error: %q, %v; the store was asked: %v", said, err, asked.Load())
	}
}

// TestTimes: times are written as rclone writes them and read as the usual programs do.
func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1588748889.000000010": time.Unix(1588748889, 10), "0.000000000": time.Unix(0, 0),
		"-0.500000000": time.Unix(-1, 5e8), "-1.500000000": time.Unix(-2, 5e8), "-2.000000000": time.Unix(-2, 0),
	} {
		if got := formatTime(want); got != text {
			t.Errorf("%v is written %q, want %q", want, got, text)
		}
		if got, ok := parseTime(mtimeKey, text); !ok || !got.Equal(want) {
			t.Errorf("%q is read as %v, want %v", text, got, want)
		}
	}
	when := time.Unix(1588748889, 500000000).UTC()
	for name, h := range map[string]map[string]string{
		"rclone first": {"mtime": "1588748889.5", "goog-reserved-file-mtime": "1", "gcsfuse_mtime": "2001-01-01T00:00:00Z"},
		"capitals":     {"Mtime": "1588748889.5"},
		"gcsfuse":      {"gcsfuse_mtime": "2020-05-06T07:08:09.5Z"},
	} {
		if m, got := readMetadata(h); !got.Equal(when) || len(m) > 0 {
			t.Errorf("%s: %v, %v", name, got, m)
		}
	}
	for _, bad := range []string{"", "yesterday", "1.x", "1e9"} {
		if m, got := readMetadata(map[string]string{"mtime": bad}); !got.IsZero() || m["mtime"] != bad {
			t.Errorf("%q is read as %v, %v", bad, got, m)
		}
	}
}
