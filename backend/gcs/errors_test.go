package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"sluice/backend"
)

func TestClassify(t *testing.T) {
	api := func(code int, reason, text string) error {
		e := &googleapi.Error{Code: code, Message: text}
		if reason != "" {
			e.Errors = []googleapi.ErrorItem{{Reason: reason, Message: text}}
		}
		return e
	}
	xml := func(code int, reason string) error {
		return &googleapi.Error{Code: code, Body: "<?xml version='1.0' encoding='UTF-8'?><Error><Code>" + reason + "</Code><Message>No.\nNever.</Message></Error>"}
	}
	token := func(status int) error {
		return &url.Error{Op: "Get", URL: "https://storage.example", Err: &auth.Error{Response: &http.Response{StatusCode: status}, Body: []byte("hush")}}
	}
	for _, tc := range []struct {
		err  error
		want error
	}{
		{api(304, "", ""), backend.ErrChanged},
		{api(400, "invalid", "Provided CRC32C \"x\" doesn't match calculated CRC32C \"y\"."), backend.ErrDamaged},
		{api(400, "invalid", "Provided MD5 hash does not match."), backend.ErrDamaged},
		{xml(400, "BadDigest"), backend.ErrDamaged},
		{api(400, "invalid", "Invalid storage class."), nil},
		{api(400, "resourceIsEncryptedWithCustomerEncryptionKey", "..."), backend.ErrPermission},
		{api(400, "customerEncryptionKeyIsIncorrect", "..."), backend.ErrPermission},
		{api(400, "required", "Bucket is a requester pays bucket but no user project provided."), backend.ErrPermission},
		{xml(400, "UserProjectMissing"), backend.ErrPermission},
		{api(401, "authError", "Invalid Credentials"), backend.ErrPermission},
		{xml(401, "AuthenticationRequired"), backend.ErrPermission},
		{api(403, "forbidden", ""), backend.ErrPermission},
		{api(403, "retentionPolicyNotMet", ""), backend.ErrPermission},
		{api(403, "userRateLimitExceeded", ""), backend.ErrThrottled},
		{api(403, "quotaExceeded", ""), backend.ErrThrottled},
		{xml(403, "AccessDenied"), backend.ErrPermission},
		{api(404, "notFound", "No such object: b/o"), backend.ErrNotExist},
		{api(404, "notFound", "The specified bucket does not exist."), backend.ErrUnavailable},
		{storage.ErrObjectNotExist, backend.ErrNotExist},
		{fmt.Errorf("%w: %w", storage.ErrObjectNotExist, api(404, "notFound", "")), backend.ErrNotExist},
		{storage.ErrBucketNotExist, backend.ErrUnavailable},
		{fmt.Errorf("%w: %w", storage.ErrBucketNotExist, api(404, "notFound", "")), backend.ErrUnavailable},
		{api(405, "methodNotAllowed", ""), backend.ErrUnsupported},
		{api(408, "", ""), backend.ErrTimeout},
		{api(409, "conflict", ""), backend.ErrChanged},
		{api(412, "conditionNotMet", ""), backend.ErrChanged},
		{xml(412, "PreconditionFailed"), backend.ErrChanged},
		{api(413, "uploadTooLarge", ""), backend.ErrTooLarge},
		{xml(416, "InvalidRange"), backend.ErrRange},
		{api(418, "teapot", ""), nil},
		{api(429, "rateLimitExceeded", ""), backend.ErrThrottled},
		{api(500, "", ""), backend.ErrUnavailable},
		{api(501, "notImplemented", ""), backend.ErrUnsupported},
		{api(503, "backendError", ""), backend.ErrThrottled},
		{api(200, "", "what is no JSON"), backend.ErrUnavailable},
		{token(400), backend.ErrPermission},
		{token(403), backend.ErrPermission},
		{token(429), backend.ErrUnavailable},
		{token(503), backend.ErrUnavailable},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, backend.ErrConnection},
		{io.ErrUnexpectedEOF, backend.ErrConnection},
		{errors.New("strange"), backend.ErrUnavailable},
		{context.Canceled, nil},
		{&url.Error{Op: "Get", Err: context.DeadlineExceeded}, backend.ErrTimeout},
	} {
		if got := classify(tc.err); got != tc.want { //nolint:errorlint // the very sentinel
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
		err := new(Store).wrap(t.Context(), "op", "key", tc.err)
		if tc.want != nil && !errors.Is(err, tc.want) || !errors.Is(err, tc.err) || !strings.HasPrefix(err.Error(), "gcs op key: ") {
			t.Errorf("wrapped: %v", err)
		}
		if s := err.Error(); strings.Contains(s, "hush") || strings.Contains(s, "\n") {
			t.Errorf("the text %q holds a secret, or a line break", s)
		}
	}
}

// TestClassified: an error that says itself what it is stays that alone.
func TestClassified(t *testing.T) {
	err := new(Store).wrap(t.Context(), "commit", "o", fmt.Errorf("gcs open src: %w: %w", backend.ErrChanged, &googleapi.Error{Code: 404}))
	if !errors.Is(err, backend.ErrChanged) || errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrUnavailable) {
		t.Error(err)
	}
	if !strings.Contains(err.Error(), "gcs open src") {
		t.Errorf("%v does not tell the whole story", err)
	}
}

// TestOutOfTime: a time limit of ours is a failure of the store, which the log tells; a caller who has gone is none.
func TestOutOfTime(t *testing.T) {
	s := &Store{cfg: Config{Name: "lab"}}
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	err := s.wrap(late, "put", "k", errors.New("hush"))
	var f *backend.Failure
	if !errors.As(err, &f) || f.Store != "lab" || f.Op != "put" || !errors.Is(err, backend.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.wrap(gone, "put", "k", errors.New("hush")); errors.As(err, &f) || !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
	if err := s.changed("copy", "k", "2", "1"); !errors.As(err, &f) || f.Op != "copy" || !errors.Is(err, backend.ErrChanged) {
		t.Errorf("changed: %v", err)
	}
}
