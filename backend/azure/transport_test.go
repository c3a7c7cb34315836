package azure

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sluice/backend"
)

// unavailable is a login that fails as one does where there is nothing to log in with.
type unavailable struct{}

func (unavailable) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, azidentity.NewCredentialUnavailableError("no identity\nwas found here")
}

// hanging is a body that ends with its request alone.
type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) { <-h.ctx.Done(); return 0, h.ctx.Err() }
func (h hanging) Close() error             { return nil }

// stuck answers with a hanging body.
type stuck struct{}

func (stuck) Do(r *http.Request) (*http.Response, error) {
	h := http.Header{"Etag": {`"e"`}, "Content-Length": {"10"}}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: hanging{r.Context()}, ContentLength: 10, Request: r}, nil
}

// TestStalledBody: a body that stands still is given up, and the caller's own end is known as such.
func TestStalledBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := open(account, stuck{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := s.Open(t.Context(), "k", backend.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		start := time.Now()
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, backend.ErrUnavailable) || !errors.Is(err, errStalled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != stall {
			t.Errorf("given up after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, _, err = s.Open(ctx, "k", backend.OpenOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("after the end of the context: %v", err)
		}
		_ = r.Close()
	})
}

// TestContent: a body that was closed gives nothing away any more.
func TestContent(t *testing.T) {
	c := newContent([]byte("abc"))
	if n, err := c.Seek(0, io.SeekEnd); n != 3 || err != nil {
		t.Errorf("Seek: %d, %v", n, err)
	}
	if _, err := c.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if p, err := io.ReadAll(c); string(p) != "abc" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	_, _ = c.Seek(0, io.SeekStart)
	_ = c.Close()
	if n, err := c.Read(make([]byte, 3)); n != 0 || err == nil {
		t.Errorf("read %d bytes after Close, %v", n, err)
	}
}
