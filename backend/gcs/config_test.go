package gcs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
)

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	account := file("account.json", `{"type": "service_account", "client_email": "a@b", "private_key": "hush", "token_uri": "http://127.0.0.1:1"}`)
	for name, tc := range map[string]struct {
		cfg  Config
		want string // in the error; empty: none
	}{
		"least":              {Config{Bucket: "b", Anonymous: true}, ""},
		"no bucket":          {Config{Anonymous: true}, "bucket"},
		"bucket with path":   {Config{Bucket: "b/c", Anonymous: true}, "bucket"},
		"endpoint":           {Config{Bucket: "b", Anonymous: true, Endpoint: "http://127.0.0.1:4443/"}, ""},
		"endpoint, no URL":   {Config{Bucket: "b", Anonymous: true, Endpoint: "127.0.0.1:4443"}, "endpoint"},
		"endpoint with path": {Config{Bucket: "b", Anonymous: true, Endpoint: "http://h/storage/v1"}, "endpoint"},
		"endpoint, password": {Config{Bucket: "b", Anonymous: true, Endpoint: "http://u:hush@h:port"}, "endpoint"},
		"token in clear":     {Config{Bucket: "b", CredentialsFile: account, Endpoint: "http://127.0.0.1:4443"}, "in clear"},
		"both":               {Config{Bucket: "b", Anonymous: true, CredentialsFile: account}, "exclude"},
		"no file":            {Config{Bucket: "b", CredentialsFile: filepath.Join(dir, "none")}, "credentials file"},
		"no JSON":            {Config{Bucket: "b", CredentialsFile: file("text", "hush")}, "not the JSON"},
		"no type":            {Config{Bucket: "b", CredentialsFile: file("typeless", `{"private_key": "hush"}`)}, "not the JSON"},
		"unknown type":       {Config{Bucket: "b", CredentialsFile: file("unknown", `{"type": "password", "private_key": "hush"}`)}, `type "password"`},
		"broken key":         {Config{Bucket: "b", CredentialsFile: account}, ""}, // which is used when a token is needed
		"KMS key":            {Config{Bucket: "b", Anonymous: true, KMSKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, ""},
		"no KMS key":         {Config{Bucket: "b", Anonymous: true, KMSKey: "k"}, "KMS key"},
		"two keys":           {Config{Bucket: "b", Anonymous: true, KMSKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k", CustomerKey: "hush"}, "exclude"},
		"customer key":       {Config{Bucket: "b", Anonymous: true, CustomerKey: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, ""},
		"short customer key": {Config{Bucket: "b", Anonymous: true, CustomerKey: "aHVzaA=="}, "customer key"},
		"customer key, text": {Config{Bucket: "b", Anonymous: true, CustomerKey: "hush"}, "customer key"},
	} {
		s, err := Open(t.Context(), tc.cfg)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestCheck: each thing that an operator can get wrong is told apart.
func TestCheck(t *testing.T) {
	for want, f := range map[string]fault{
		"":                                   {},
		"does not exist":                     {status: 404, reason: "notFound", text: "The specified bucket does not exist."},
		"refuses the credentials":            {status: 401, reason: "authError", text: "Invalid Credentials"},
		"denies access":                      {status: 403, reason: "forbidden", text: "x@y does not have storage.objects.list access"},
		"give userProject":                   {status: 400, reason: "required", text: "Bucket is a requester pays bucket but no user project provided."},
		"cannot be reached: check":           {status: 503, reason: "backendError"},
		"status 418 teapot: short and stout": {status: 418, reason: "teapot", text: "short\nand stout"},
	} {
		c := newCloud(t)
		c.fail(always("list", f))
		err := c.open(Config{}).Check(t.Context())
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
		if n := len(c.calls("list")); n > 2 {
			t.Errorf("%+v: asked %d times", f, n)
		}
	}
}

// TestCheckToken: credentials for which Google gives no token are named, and what is in them is not.
func TestCheckToken(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for status, want := range map[int]string{200: "", 400: "refuses the credentials", 503: "cannot be reached"} {
		c := newCloud(t)
		tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if status == http.StatusOK {
				_, _ = w.Write([]byte(`{"access_token": "hush", "token_type": "Bearer", "expires_in": 3600}`))
				return
			}
			_, _ = w.Write([]byte(`{"error": "invalid_grant", "error_description": "hush"}`))
		}))
		defer tokens.Close()
		text, err := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "sluice@example.org", "private_key": private, "private_key_id": "1", "token_uri": tokens.URL,
		})
		path := filepath.Join(t.TempDir(), "account.json")
		if err = errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		creds, err := Config{CredentialsFile: path}.credentials()
		if err != nil {
			t.Fatal(err)
		}
		s := &Store{cfg: Config{Bucket: "b"}, endpoint: c.URL, retry: patience{attempts: 1, pause: time.Millisecond}}
		if err := s.connect(t.Context(), creds); err != nil {
			t.Fatal(err)
		}
		err = s.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%d: %v, want %q", status, err, want)
		}
		if calls := c.calls("list"); status == http.StatusOK && (len(calls) != 1 || calls[0].head.Get("Authorization") != "Bearer hush") {
			t.Errorf("with a token: %+v", calls)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRedirect: nothing that has credentials goes to another host.
func TestRedirect(t *testing.T) {
	elsewhere := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere = true
		_, _ = w.Write([]byte("{}"))
	}))
	defer other.Close()
	for status, target := range map[int]string{http.StatusTemporaryRedirect: other.URL, http.StatusMovedPermanently: other.URL, http.StatusFound: "/loop"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target, status)
		}))
		defer server.Close()
		s, err := open(t.Context(), Config{Bucket: "b", Endpoint: server.URL, Anonymous: true}, patience{attempts: 1, pause: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err == nil || elsewhere {
			t.Errorf("%d to %s: %v, followed %v", status, target, err, elsewhere)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTimes: times are written as rclone writes them and read as the usual programs write them.
func TestTimes(t *testing.T) {
	when := time.Unix(1588748889, 500000000).UTC()
	m := writeMetadata(backend.Attributes{ModTime: when, Metadata: map[string]string{"Key": "v"}})
	if m[rcloneKey] != "2020-05-06T07:08:09.5Z" || m[googleKey] != "1588748889" || m["key"] != "v" || len(m) != 3 {
		t.Errorf("written %q", m)
	}
	for name, m := range map[string]map[string]string{
		"rclone first": {"mtime": "2020-05-06T07:08:09.5Z", googleKey: "1", gcsfuseKey: "2001-01-01T00:00:00Z"},
		"another zone": {"mtime": "2020-05-06T09:08:09.5+02:00"},
		"seconds":      {"mtime": "1588748889.5"},
		"capitals":     {"Mtime": "2020-05-06T07:08:09.5Z"},
		"gcsfuse":      {gcsfuseKey: "2020-05-06T07:08:09.5Z"},
		"google first": {googleKey: "1588748889.5", gcsfuseKey: "2001-01-01T00:00:00Z"},
	} {
		if rest, got := readMetadata(m); !got.Equal(when) || len(rest) > 0 {
			t.Errorf("%s: %v, %v", name, got, rest)
		}
	}
	if got, ok := parseTime("-1.5"); !ok || !got.Equal(time.Unix(-2, 5e8)) {
		t.Errorf("-1.5 is read as %v", got)
	}
	for _, bad := range []string{"", "yesterday", "1.x", "1.-5", "1e9"} {
		if rest, got := readMetadata(map[string]string{"mtime": bad}); !got.IsZero() || rest["mtime"] != bad {
			t.Errorf("%q is read as %v, %v", bad, got, rest)
		}
	}
}

// TestCombine holds the sum of two strings against that of both as one.
func TestCombine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		want := crc32.Checksum(append(a[:len(a):len(a)], b...), castagnoli)
		if got := combine(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b))); got != want {
			t.Errorf("%08x, want %08x", got, want)
		}
	})
}
