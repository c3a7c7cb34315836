package azure

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

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
				w.Header().Set("X-Ms-Version", "2026-12-06")
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

// TestCheckForeign: a web server that is no blob service is not a missing container, and not an empty one.
func TestCheckForeign(t *testing.T) {
	const page = "<!DOCTYPE HTML>\n<html><body><p>Not here.</p></body></html>\n"
	const alien = "https://acct.blob.core.windows.net does not answer as Azure Blob Storage does: correct endpoint"
	for _, tc := range []struct {
		status int
		body   string
		want   string
	}{
		{404, page, alien}, {404, "", alien}, {400, "Client sent an HTTP request to an HTTPS server.\n", alien}, {200, page, alien}, {200, "<html></html>", alien},
		{502, page, "cannot be reached"}, {403, page, "denies access"},
	} {
		s := wire(t, account, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		err := s.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%d %q: %v, want %s", tc.status, tc.body, err, tc.want)
		}
		safe(t, err)
	}
}

// TestCheckSilent: a server that takes the request and never answers is one sentence.
func TestCheckSilent(t *testing.T) {
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer srv.Close()
	defer close(end)
	cfg := account
	cfg.Endpoint = srv.URL
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Check(ctx); err == nil || !strings.Contains(err.Error(), srv.URL+" did not answer within ") {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := s.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
