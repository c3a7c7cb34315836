package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	accountKey = "dGhlIHNlY3JldA==" // the secret
	signed     = "sv=2026-01-01&sp=rwdl&sig=the+secret"
)

// account is a configuration that a stub needs not check.
var account = Config{Account: "acct", Container: "cont", AccountKey: accountKey}

// direct calls a handler without a network, so that the waits between tries take no time in a synctest bubble. A handler
// that panics has lost its answer.
type direct struct{ h http.HandlerFunc }

func (d direct) Do(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			resp, err = nil, errors.New("connection reset")
		}
	}()
	in := r.Clone(r.Context())
	in.Header = http.Header{}
	for k, v := range r.Header { // as a server would see them
		in.Header[http.CanonicalHeaderKey(k)] = v
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	d.h(w, in)
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

// token is a login that always succeeds.
type token struct{}

func (token) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != storageScope {
		return azcore.AccessToken{}, fmt.Errorf("a token for %v", o.Scopes)
	}
	return azcore.AccessToken{Token: "the-token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// wire returns a store whose server is h.
func wire(t *testing.T, cfg Config, h http.HandlerFunc) *Store {
	t.Helper()
	s, err := open(cfg, direct{h}, func() (azcore.TokenCredential, error) { return token{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bubble runs f in a synctest bubble with a store whose server is h.
func bubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, s *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, wire(t, account, h)) })
}

// fail answers with an error as the service writes it.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Request-Id", "request-1")
	if code != "" {
		w.Header().Set("X-Ms-Error-Code", code)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error><Code>%s</Code><Message>no: sig=the+secret</Message></Error>", code)
}

// describe answers HEAD and GET as for an object of some bytes.
func describe(w http.ResponseWriter, size string, more ...string) {
	h := w.Header()
	h.Set("Etag", `"e"`)
	h.Set("Content-Length", size)
	h.Set("Content-Type", "text/plain")
	h.Set("Last-Modified", "Tue, 24 Nov 2026 01:02:03 GMT")
	for i := 0; i+1 < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
}

// operation names what a request asks for.
func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Header.Get("X-Ms-Copy-Source") != "" && q.Get("comp") == "":
		return "copy"
	case r.Header.Get("X-Ms-Copy-Source") != "":
		return "copy block"
	case q.Get("comp") != "":
		return r.Method + " " + q.Get("comp")
	}
	return r.Method
}

// safe checks that an error, and every error in it, is one line and tells no secret.
func safe(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "secret") || strings.Contains(text, accountKey) {
		t.Errorf("an error tells too much: %q", text)
	}
	switch e := err.(type) { //nolint:errorlint // each of them is looked at
	case interface{ Unwrap() error }:
		safe(t, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			safe(t, inner)
		}
	}
}

// slurp reads a body to its end.
func slurp(r io.Reader) string {
	p, _ := io.ReadAll(r) // what came
	return string(p)
}
