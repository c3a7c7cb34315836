package azure

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/backend"
)

func TestConfig(t *testing.T) {
	const key, scope = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "vault"
	for name, tc := range map[string]struct {
		cfg  Config
		want string // in the error; empty: none
	}{
		"identity":               {Config{Account: "acct", Container: "c"}, ""},
		"account key":            {Config{Account: "acct", Container: "c", AccountKey: accountKey}, ""},
		"SAS":                    {Config{Account: "acct", Container: "c", SAS: signed}, ""},
		"SAS, question mark":     {Config{Account: "acct", Container: "c", SAS: "?" + signed}, ""},
		"SAS, endpoint":          {Config{Endpoint: "http://127.0.0.1:10000/acct", Container: "c", SAS: signed}, ""},
		"string, key":            {Config{Container: "c", ConnectionString: "AccountName=acct;AccountKey=" + accountKey}, ""},
		"string, SAS":            {Config{Container: "c", ConnectionString: "BlobEndpoint=https://a.example.org;SharedAccessSignature=" + signed}, ""},
		"tier":                   {Config{Account: "acct", Container: "c", AccessTier: "Cold"}, ""},
		"customer's key":         {Config{Account: "acct", Container: "c", EncryptionKey: key}, ""},
		"scope":                  {Config{Account: "acct", Container: "c", EncryptionScope: scope}, ""},
		"no container":           {Config{Account: "acct"}, "container"},
		"container with path":    {Config{Account: "acct", Container: "c/d"}, "container"},
		"nothing":                {Config{Container: "c"}, "give an account"},
		"account with domain":    {Config{Account: "acct.blob.core.windows.net", Container: "c"}, "without a domain"},
		"key and SAS":            {Config{Account: "acct", Container: "c", AccountKey: accountKey, SAS: signed}, "exclude"},
		"key without account":    {Config{Endpoint: "https://x.example.org", Container: "c", AccountKey: accountKey}, "account"},
		"key not base64":         {Config{Account: "acct", Container: "c", AccountKey: "secret!"}, "base64"},
		"SAS cut":                {Config{Account: "acct", Container: "c", SAS: "sv=2026&secret"}, "sig="},
		"string and account":     {Config{Account: "acct", Container: "c", ConnectionString: "x"}, "says it all"},
		"string cut":             {Config{Container: "c", ConnectionString: "AccountName=acct;secret"}, "connection string"},
		"string, key broken":     {Config{Container: "c", ConnectionString: "AccountName=acct;AccountKey=secret!"}, "connection string"},
		"string, no URL":         {Config{Container: "c", ConnectionString: "BlobEndpoint=secret;SharedAccessSignature=" + signed}, "connection string"},
		"identity in clear":      {Config{Endpoint: "http://127.0.0.1:10000/acct", Container: "c"}, "https"},
		"endpoint, no URL":       {Config{Endpoint: "azurite:10000", Container: "c", SAS: signed}, "endpoint"},
		"endpoint, SAS in":       {Config{Endpoint: "https://x.example.org?" + signed, Container: "c"}, "endpoint"},
		"endpoint, password in":  {Config{Endpoint: "https://u:secret@x.example.org", Container: "c"}, "endpoint"},
		"endpoint, broken":       {Config{Endpoint: "https://u:secret@x:port", Container: "c"}, "endpoint"},
		"no such tier":           {Config{Account: "acct", Container: "c", AccessTier: "hot"}, "Hot, Cool"},
		"customer's key short":   {Config{Account: "acct", Container: "c", EncryptionKey: "c2VjcmV0"}, "32 bytes"},
		"customer's key, clear":  {Config{Endpoint: "http://x.example.org", Account: "acct", Container: "c", AccountKey: accountKey, EncryptionKey: key}, "https"},
		"customer's key, string": {Config{Container: "c", ConnectionString: "BlobEndpoint=http://a.example.org;SharedAccessSignature=" + signed, EncryptionKey: key}, "https"},
		"key and scope":          {Config{Account: "acct", Container: "c", EncryptionKey: key, EncryptionScope: scope}, "exclude"},
	} {
		_, err := Open(t.Context(), tc.cfg)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), key)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		safe(t, err)
	}
}

// TestRedirect: what Azure never sends is not followed, since keys would go along.
func TestRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed with %v", r.Header)
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	cfg := account
	cfg.Endpoint = srv.URL
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
