package gcs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// issuer is a stub of those who give tokens away: OAuth for keys and users, STS for identities from elsewhere, IAM for accounts that are
// impersonated, the metadata server of a machine or pod.
type issuer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = r.ParseForm()
	answer := func(token string) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": token, "accessToken": token, "token_type": "Bearer", "expires_in": 3600, "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
			"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		})
	}
	switch {
	case r.URL.Path == "/sts":
		i.seen = append(i.seen, "sts "+r.Form.Get("audience")+" "+r.Form.Get("subject_token"))
		answer("federated")
	case strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
		i.seen = append(i.seen, "impersonate "+r.Header.Get("Authorization"))
		answer("impersonated")
	case strings.HasPrefix(r.URL.Path, "/computeMetadata/"):
		w.Header().Set("Metadata-Flavor", "Google")
		if strings.HasSuffix(r.URL.Path, "/token") {
			i.seen = append(i.seen, "metadata "+r.Header.Get("Metadata-Flavor"))
			answer("of-the-pod")
		}
	default:
		kind, _, _ := strings.Cut(r.Form.Get("grant_type")+" ", " ")
		i.seen = append(i.seen, kind+" "+r.Form.Get("refresh_token"))
		answer("of-" + kind[strings.LastIndexByte(kind, ':')+1:])
	}
}

// TestLogin goes through the ways in which people give credentials: the file that is configured, and what Google's libraries find by
// themselves.
func TestLogin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
	for name, tc := range map[string]struct {
		file  string // of the configuration, where URL is the issuer and TOKEN a file with the identity token
		env   string // the same for GOOGLE_APPLICATION_CREDENTIALS
		gcx   string // the same for gcloud's file
		pod   bool   // there is a metadata server
		token string
		seen  []string
	}{
		"service account": {
			file:  `{"type": "service_account", "client_email": "a@b", "private_key_id": "1", "private_key": PRIVATE, "token_uri": "URL"}`,
			token: "of-jwt-bearer", seen: []string{"urn:ietf:params:oauth:grant-type:jwt-bearer "},
		},
		"service account, found": {
			env:   `{"type": "service_account", "client_email": "a@b", "private_key_id": "1", "private_key": PRIVATE, "token_uri": "URL"}`,
			token: "of-jwt-bearer", seen: []string{"urn:ietf:params:oauth:grant-type:jwt-bearer "},
		},
		"workload identity federation": {
			file: `{"type": "external_account", "audience": "` + audience + `", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "URL/sts",
				"credential_source": {"file": "TOKEN"}}`,
			token: "federated", seen: []string{"sts " + audience + " the-jwt"},
		},
		"workload identity federation, impersonating": {
			env: `{"type": "external_account", "audience": "` + audience + `", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "URL/sts",
				"service_account_impersonation_url": "URL/v1/projects/-/serviceAccounts/a@b:generateAccessToken", "credential_source": {"file": "TOKEN"}}`,
			token: "impersonated", seen: []string{"sts " + audience + " the-jwt", "impersonate Bearer federated"},
		},
		"gcloud": {
			gcx:   `{"type": "authorized_user", "client_id": "c", "client_secret": "hush", "refresh_token": "hush"}`,
			token: "", // Google's own address: it is not asked here
		},
		"machine or pod": {pod: true, token: "of-the-pod", seen: []string{"metadata Google"}},
	} {
		t.Run(name, func(t *testing.T) {
			i, c, dir := newIssuer(t), newCloud(t), t.TempDir()
			text := strings.NewReplacer("URL", i.URL, "PRIVATE", string(private), "TOKEN", put(t, dir, "token", "the-jwt")).Replace
			t.Setenv("HOME", dir)
			t.Setenv("CLOUDSDK_CONFIG", dir)
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
			cfg := Config{Bucket: "b"}
			if tc.file != "" {
				cfg.CredentialsFile = put(t, dir, "configured.json", text(tc.file))
			}
			if tc.env != "" {
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", put(t, dir, "found.json", text(tc.env)))
			}
			if tc.gcx != "" {
				if err := os.MkdirAll(filepath.Join(dir, ".config", "gcloud"), 0o700); err != nil {
					t.Fatal(err)
				}
				put(t, filepath.Join(dir, ".config", "gcloud"), "application_default_credentials.json", text(tc.gcx))
			}
			if tc.pod {
				t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(i.URL, "http://"))
			}
			creds, err := cfg.credentials()
			if err != nil {
				t.Fatal(err)
			}
			if tc.token == "" {
				return
			}
			s := &Store{cfg: cfg, endpoint: c.URL, retry: patience{attempts: 1, pause: time.Millisecond}}
			if err := s.connect(t.Context(), creds); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if calls := c.calls("list"); len(calls) != 1 || calls[0].head.Get("Authorization") != "Bearer "+tc.token {
				t.Errorf("the store was asked with %+v", calls)
			}
			i.mu.Lock()
			defer i.mu.Unlock()
			if fmt.Sprint(i.seen) != fmt.Sprint(tc.seen) {
				t.Errorf("tokens were asked for by %q, want %q", i.seen, tc.seen)
			}
		})
	}
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
