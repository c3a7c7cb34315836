package azure

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

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

// TestCheck: each thing that an operator can get wrong is told apart, in one sentence.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   string // empty: no error
	}{
		{200, "", ""},
		{404, "ContainerNotFound", "container cont does not exist at https://acct.blob.core.windows.net: create it or correct the name"},
		{404, "ResourceNotFound", "does not exist"},
		{409, "ContainerBeingDeleted", "out of service"},
		{403, "AccountIsDisabled", "out of service"},
		{403, "AuthenticationFailed", "refuses the credentials for container cont (AuthenticationFailed): correct account and accountKey"},
		{403, "AuthorizationFailure", "refuses the credentials"},
		{403, "AuthorizationPermissionMismatch", "denies access to container cont (AuthorizationPermissionMismatch): let these credentials list"},
		{503, "ServerBusy", "cannot be reached"},
		{400, "InvalidHeaderValue", "container cont at https://acct.blob.core.windows.net: status 400 InvalidHeaderValue"},
	} {
		s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) {
			if tc.status == 200 {
				_, _ = w.Write([]byte("<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"))
				return
			}
			fail(w, tc.status, tc.code)
		})
		err := s.Check(t.Context())
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%d %s: %v, want %q", tc.status, tc.code, err, tc.want)
		}
		safe(t, err)
	}
	cfg := Config{Account: "acct", Container: "cont"}
	s, err := open(cfg, http.DefaultClient, func() (azcore.TokenCredential, error) {
		return azidentity.NewChainedTokenCredential([]azcore.TokenCredential{unavailable{}}, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err = s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no credentials for container cont") {
		t.Errorf("without credentials: %v", err)
	}
	safe(t, err)
}

// TestUnreachable: the URL of a failed request has the SAS in it, and no error shows it.
func TestUnreachable(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	for _, cfg := range []Config{
		{Container: "cont", Endpoint: srv.URL, SAS: signed},
		{Container: "cont", ConnectionString: "BlobEndpoint=" + srv.URL + ";SharedAccessSignature=" + signed},
	} {
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), srv.URL+" cannot be reached") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
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
