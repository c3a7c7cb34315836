package azure

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// authority is a stub of Entra ID and of the metadata service of a machine.
type authority struct {
	mu   sync.Mutex
	seen []string // who asked for a token, and how
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = r.ParseForm()
	w.Header().Set("Content-Type", "application/json")
	answer := func(v map[string]any) { _ = json.NewEncoder(w).Encode(v) }
	issuer := "https://" + r.URL.Host + "/tenant"
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		if asked, err := url.Parse(r.Form.Get("authorization_endpoint")); err == nil {
			issuer = "https://" + asked.Host + "/tenant"
		}
		answer(map[string]any{"tenant_discovery_endpoint": issuer + "/v2.0/.well-known/openid-configuration", "metadata": []any{}})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		answer(map[string]any{"authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/oauth2/v2.0/token", "issuer": issuer + "/v2.0"})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		a.seen = append(a.seen, strings.Join([]string{r.URL.Host, r.Form.Get("client_id"), r.Form.Get("client_assertion"), r.Form.Get("client_secret"), r.Form.Get("scope")}, "|"))
		answer(map[string]any{"access_token": "of-entra", "token_type": "Bearer", "expires_in": 3600})
	case r.URL.Host == "169.254.169.254" && r.Header.Get("Metadata") == "true":
		a.seen = append(a.seen, "machine|"+r.URL.Query().Get("resource"))
		answer(map[string]any{"access_token": "of-the-machine", "token_type": "Bearer", "expires_in": "3600", "resource": "https://storage.azure.com"})
	default: // the first look whether there is such a service
		w.WriteHeader(http.StatusBadRequest)
	}
}

// TestLogin goes through the ways in which a machine or a pod gets a token, and those in which the credentials are configured.
func TestLogin(t *testing.T) {
	const scope = storageScope + " openid offline_access profile"
	for name, tc := range map[string]struct {
		cfg  Config
		env  map[string]string // FILE is a file that holds the-jwt
		want string            // Authorization, or its beginning
		at   string            // query of the request, or a part of it
		seen []string
	}{
		"workload identity": {
			cfg: Config{Account: "acct"}, want: "Bearer of-entra", seen: []string{"login.example.test|client|the-jwt||" + scope},
			env: map[string]string{"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": "FILE", "AZURE_AUTHORITY_HOST": "https://login.example.test/"},
		},
		"client secret": {
			cfg: Config{Account: "acct"}, want: "Bearer of-entra", seen: []string{"login.microsoftonline.com|client||hush|" + scope},
			env: map[string]string{"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": "hush"},
		},
		"managed identity":           {cfg: Config{Account: "acct"}, want: "Bearer of-the-machine", seen: []string{"machine|https://storage.azure.com"}},
		"account key":                {cfg: Config{Account: "acct", AccountKey: accountKey}, want: "SharedKey acct:"},
		"SAS":                        {cfg: Config{Account: "acct", SAS: "?" + signed}, at: "sig=the%20secret"},
		"connection string":          {cfg: Config{ConnectionString: "AccountName=acct;AccountKey=" + accountKey + ";EndpointSuffix=core.windows.net"}, want: "SharedKey acct:"},
		"connection string, SAS":     {cfg: Config{ConnectionString: "BlobEndpoint=https://acct.blob.core.windows.net;SharedAccessSignature=" + signed}, at: "sig=the%20secret"},
		"before the machine's":       {cfg: Config{Account: "acct", SAS: signed}, at: "sig=the%20secret", env: map[string]string{"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": "hush"}},
		"connection string, Azurite": {cfg: Config{ConnectionString: "BlobEndpoint=http://127.0.0.1:10000/acct;AccountName=acct;AccountKey=" + accountKey}, want: "SharedKey acct:"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{
				"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_TOKEN_CREDENTIALS",
				"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME", "IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT",
			} {
				t.Setenv(v, "")
				if err := os.Unsetenv(v); err != nil { // set but empty is not the same to all of them
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "jwt")
			if err := os.WriteFile(file, []byte("the-jwt"), 0o600); err != nil {
				t.Fatal(err)
			}
			for k, v := range tc.env {
				t.Setenv(k, strings.ReplaceAll(v, "FILE", file))
			}
			a := &authority{}
			var got *http.Request
			tc.cfg.Container = "cont"
			s, err := open(tc.cfg, direct{func(w http.ResponseWriter, r *http.Request) {
				got = r
				describe(w, "1")
			}}, func() (azcore.TokenCredential, error) { return login(direct{a.serve}) })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Stat(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			if auth := got.Header.Get("Authorization"); !strings.HasPrefix(auth, tc.want) || (tc.want == "") != (auth == "") || !strings.Contains(got.URL.RawQuery, tc.at) {
				t.Errorf("asked for %s with %q", got.URL, auth)
			}
			if !slices.Equal(a.seen, tc.seen) {
				t.Errorf("tokens were asked for by %q, want %q", a.seen, tc.seen)
			}
		})
	}
}
