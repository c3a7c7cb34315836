package s3

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/backend"
)

// cloud is a stub of S3, STS and the credentials endpoint of a container. It keeps what was asked of the latter two.
type cloud struct {
	mu     sync.Mutex
	signed string     // access key of the last request to the bucket
	token  string     // its session token
	form   url.Values // of the last request to STS
	caller string     // access key that signed that; empty for AssumeRoleWithWebIdentity
	pod    string     // authorization of the last request for a container's credentials
	issued int
	deny   bool
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	switch {
	case r.URL.Path == "/pod":
		c.pod = r.Header.Get("Authorization")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"AccessKeyId": "POD", "SecretAccessKey": "hush", "Token": "podtoken", "Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		})
	case r.Method == http.MethodPost:
		_ = r.ParseForm()
		c.form, c.caller = r.Form, key
		if c.deny {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not yours</Message></Error><RequestId>1</RequestId></ErrorResponse>")
			return
		}
		c.issued++
		op := r.Form.Get("Action")
		_, _ = fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>ROLE%[2]d</AccessKeyId><SecretAccessKey>hush</SecretAccessKey>
			<SessionToken>token%[2]d</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			op, c.issued, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		c.signed, c.token = key, r.Header.Get("X-Amz-Security-Token")
		w.Header().Set("ETag", `"e"`)
	}
}

// start runs the stub and leaves the environment without any credentials.
func (c *cloud) start(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ENDPOINT_URL_STS", srv.URL)
	return srv.URL
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCredentials goes through the ways in which people give credentials.
func TestCredentials(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/pods"
	for name, tc := range map[string]struct {
		cfg    Config
		env    map[string]string
		files  map[string]string // variables that name a file, and its text
		signed string
		token  string
		check  func(*testing.T, *cloud)
	}{
		"static":        {cfg: Config{AccessKey: "AK", SecretKey: "hush"}, signed: "AK"},
		"session token": {cfg: Config{AccessKey: "AK", SecretKey: "hush", SessionToken: "tok"}, signed: "AK", token: "tok"},
		"environment":   {env: map[string]string{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "tok"}, signed: "ENV", token: "tok"},
		"profile": {
			cfg: Config{Profile: "lab"}, signed: "PROF",
			files: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "[default]\naws_access_key_id=NO\naws_secret_access_key=no\n[lab]\naws_access_key_id=PROF\naws_secret_access_key=hush\n"},
		},
		"IRSA": {
			env: map[string]string{"AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": "pod"}, files: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "jwt"}, signed: "ROLE1", token: "token1",
			check: func(t *testing.T, c *cloud) {
				if f := c.form; f.Get("Action") != "AssumeRoleWithWebIdentity" || f.Get("RoleArn") != role || f.Get("WebIdentityToken") != "jwt" || c.caller != "" {
					t.Errorf("STS was asked %v by %q", f, c.caller)
				}
			},
		},
		"Pod Identity": {
			env: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL/pod"}, files: map[string]string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "podjwt"}, signed: "POD", token: "podtoken",
			check: func(t *testing.T, c *cloud) {
				if c.pod != "podjwt" {
					t.Errorf("asked with %q", c.pod)
				}
			},
		},
		"role": {
			cfg: Config{AccessKey: "AK", SecretKey: "hush", Role: Role{
				ARN: role, ExternalID: "partner 7", SessionName: "gr\u00fcn/x", Tags: map[string]string{"user": "ann", "team": "b"}, Duration: 15 * time.Minute,
			}}, signed: "ROLE1", token: "token1",
			check: func(t *testing.T, c *cloud) {
				for k, want := range map[string]string{
					"Action": "AssumeRole", "RoleArn": role, "ExternalId": "partner 7", "RoleSessionName": "gr_n_x", "DurationSeconds": "900",
					"Tags.member.1.Key": "team", "Tags.member.1.Value": "b", "Tags.member.2.Key": "user", "Tags.member.2.Value": "ann",
				} {
					if got := c.form.Get(k); got != want {
						t.Errorf("%s is %q, want %q", k, got, want)
					}
				}
				if c.caller != "AK" {
					t.Errorf("asked by %q", c.caller)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cloud{}
			at := c.start(t)
			for k, v := range tc.env {
				t.Setenv(k, strings.ReplaceAll(v, "URL", at))
			}
			for k, v := range tc.files {
				t.Setenv(k, write(t, v))
			}
			cfg := tc.cfg
			cfg.Bucket, cfg.Region, cfg.Endpoint, cfg.PathStyle = "bkt", "eu-west-1", at, true
			s, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := s.Stat(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
			}
			if c.signed != tc.signed || c.token != tc.token || c.issued > 1 {
				t.Errorf("signed by %q with %q, %d credentials issued", c.signed, c.token, c.issued)
			}
			if tc.check != nil {
				tc.check(t, c)
			}
		})
	}
}

// TestAs: each role has credentials of its own, and one that may not be assumed is a permission that lacks.
func TestAs(t *testing.T) {
	c := &cloud{}
	at := c.start(t)
	base, err := Open(t.Context(), Config{Bucket: "bkt", Region: "eu-west-1", Endpoint: at, PathStyle: true, AccessKey: "AK", SecretKey: "hush"})
	if err != nil {
		t.Fatal(err)
	}
	as := func(user string) *Store {
		t.Helper()
		s, err := base.As(Role{ARN: "arn:aws:iam::1:role/r", SessionName: user, Tags: map[string]string{"user": user}, Endpoint: at})
		if err != nil {
			t.Fatal(err)
		}
		s.client = patient(s, 1)
		return s
	}
	ann, bob := as("ann"), as("bob")
	for _, step := range []struct {
		s    *Store
		want string
	}{{ann, "ROLE1"}, {bob, "ROLE2"}, {ann, "ROLE1"}, {base, "AK"}} {
		if _, err := step.s.Stat(t.Context(), "k"); err != nil || c.signed != step.want {
			t.Errorf("signed by %q, %v, want %q", c.signed, err, step.want)
		}
	}
	c.deny = true
	_, err = as("eve").Stat(t.Context(), "k")
	if !errors.Is(err, backend.ErrPermission) || strings.Contains(err.Error(), "hush") {
		t.Errorf("a role that is denied: %v", err)
	}
	if _, err := base.As(Role{ARN: "r"}); err == nil {
		t.Error("a role that is none was taken")
	}
	if got := SessionName("x"); got != "x_" {
		t.Errorf("SessionName of x is %q", got)
	}
}

// TestProxy: requests go through the proxy that is named, and its password is in no error.
func TestProxy(t *testing.T) {
	var asked, auth string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, auth = r.URL.String(), r.Header.Get("Proxy-Authorization")
		w.Header().Set("ETag", `"e"`)
	}))
	defer proxy.Close()
	cfg := Config{
		Bucket: "bkt", Region: "eu-west-1", Endpoint: "http://s3.example.test", PathStyle: true, AccessKey: "AK", SecretKey: "hush",
		Proxy: strings.Replace(proxy.URL, "http://", "http://user:hush@", 1),
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "k"); err != nil || asked != "http://s3.example.test/bkt/k" || auth == "" {
		t.Errorf("asked for %q with %q, %v", asked, auth, err)
	}
	proxy.Close()
	s.client = patient(s, 1)
	_, err = s.Stat(t.Context(), "k")
	if !errors.Is(err, backend.ErrUnavailable) || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
}

// TestAuthorities: a server is trusted by the file given, and not without it.
func TestAuthorities(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"e"`) }))
	defer srv.Close()
	for _, file := range []string{caFile(t, srv), ""} {
		s := connect(t, Config{Endpoint: srv.URL, CAFile: file})
		s.client = patient(s, 1)
		if _, err := s.Stat(t.Context(), "k"); (err == nil) != (file != "") {
			t.Errorf("with %q: %v", file, err)
		}
	}
	if _, err := Open(t.Context(), Config{Bucket: "b", CAFile: write(t, "no PEM")}); err == nil {
		t.Error("a file without a certificate was taken")
	}
}
