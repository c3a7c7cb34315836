package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/cmd/sluice/internal/config"
)

// Whatever goes wrong with whichever store, however it is logged in to: no error and no line of the log tells a secret. The servers
// even repeat in their answers what they were asked.
func TestSecrets(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("hunter2-of-azure"))
	secrets := []string{"hunter2", key, key[:len(key)-4], base64.StdEncoding.EncodeToString([]byte("user:hunter2")), "AWS4-HMAC-SHA256 Credential=AKIA"}
	var mode atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := httputil.DumpRequest(r, false) // with every header
		how := mode.Load()
		if how == "refuse writes" && r.Method == http.MethodGet {
			how = "good"
		}
		switch how {
		case "good":
			w.Header().Set("X-Ms-Version", "2026-12-06")
			if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/storage/") {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, "{}")
				return
			}
			_, _ = io.WriteString(w, "<ListBucketResult><Name>lab</Name></ListBucketResult>")
		case "reset":
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		case "redirect":
			w.Header().Set("Location", "http://127.0.0.1:1/?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "page":
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "<html><body>%s</body></html>", asked)
		default:
			w.Header().Set("X-Ms-Error-Code", "AuthenticationFailed")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message></Error>", strings.ReplaceAll(string(asked), "&", "&amp;"))
		}
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, []byte(`{"type": "service_account", "client_email": "a@b", "private_key": "hunter2", "token_uri": "`+server.URL+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "http://")
	const s3Keys = "bucket: lab, region: us-east-1, pathStyle: true, accessKey: AKIA, secretKey: hunter2, tries: 1"
	stores := map[string]string{
		"keys":    fmt.Sprintf("{type: s3, %s, endpoint: %q}", s3Keys, server.URL),
		"token":   fmt.Sprintf("{type: s3, %s, endpoint: %q, sessionToken: hunter2}", s3Keys, server.URL),
		"proxy":   fmt.Sprintf(`{type: s3, %s, endpoint: "http://s3.example.test", proxy: "http://user:hunter2@%s"}`, s3Keys, host),
		"secured": fmt.Sprintf(`{type: s3, %s, endpoint: "https://s3.example.test", proxy: "http://user:hunter2@%s"}`, s3Keys, host),
		"role":    fmt.Sprintf(`{type: s3, %s, endpoint: %q, assumeRole: {arn: "arn:aws:iam::1:role/r", externalId: x, endpoint: %q}}`, s3Keys, server.URL, server.URL),
		"account": fmt.Sprintf("{type: azure, account: acme, container: lab, endpoint: %q, accountKey: %q, tries: 1}", server.URL+"/acme", key),
		"sas":     fmt.Sprintf("{type: azure, account: acme, container: lab, endpoint: %q, sas: 'sv=1&sig=hunter2', tries: 1}", server.URL+"/acme"),
		"string":  fmt.Sprintf("{type: azure, container: lab, connectionString: 'BlobEndpoint=%s/acme;AccountName=acme;AccountKey=%s', tries: 1}", server.URL, key),
		"google":  fmt.Sprintf("{type: gcs, bucket: lab, credentialsFile: %q, tries: 1}", file),
	}
	told := func(where, text string) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s tells %q:\n%s", where, secret, text)
			}
		}
	}
	for name, text := range stores {
		for _, how := range []string{"refuse", "refuse writes", "page", "reset", "redirect"} {
			mode.Store(how)
			dir := t.TempDir()
			path := filepath.Join(dir, "sluice.yaml")
			yaml := fmt.Sprintf("tls: {certificates: [{cert: a, key: b}]}\nstores: {lab: %s}\nusers: [{name: ann, password: %q, mounts: [{path: /, store: lab}]}]\n", text, hashed())
			if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(path)
			if err != nil {
				t.Fatal(name, err)
			}
			if name == "google" && how != "refuse" { // asks Google's own address, and only its key is broken here
				continue
			}
			store, err := openStore(t.Context(), "lab", cfg.Stores["lab"], 0, nil)
			if err == nil {
				_, err = probeStore(t.Context(), "lab", cfg.Stores["lab"], store)
			}
			if err == nil {
				t.Errorf("%s, %s: no error", name, how)
			}
			told(name+", "+how, fmt.Sprintf("%v %+v", err, err))
			told(name+", configuration", fmt.Sprintf("%v %+v", cfg.Stores, cfg.Stores))
		}
		if !slices.Contains([]string{"proxy", "sas", "account"}, name) {
			continue // cannot be opened here, or would tell the same
		}
		mode.Store("good")
		r := boot(t, fmt.Sprintf("tls: {certificates: [{cert: server.crt, key: server.key}]}\nstores: {lab: %s}\nusers: [{name: ann, password: %q, mounts: [{path: /, store: lab}]}]\n", text, hashed()))
		c := r.connect(t)
		c.login("ann", "secret", "230")
		for _, how := range []string{"refuse", "page", "reset", "redirect"} {
			mode.Store(how)
			for _, command := range []string{"SIZE " + how, "MKD m" + how, "DELE " + how} {
				if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
					t.Fatal(err)
				}
				_, reply, _ := c.text.ReadResponse(0)
				told(name+", reply", reply)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if log := r.log.String(); !strings.Contains(log, `"storage":{"store":"lab"`) {
			t.Errorf("%s: nothing went wrong:\n%s", name, log)
		}
		told(name+", log", r.log.String())
	}
}
