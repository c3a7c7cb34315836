package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sluice/backend"
)

func refusal(status int, code string) error {
	return &azcore.ResponseError{StatusCode: status, ErrorCode: code}
}

func TestClassify(t *testing.T) {
	loginFailed := func(status int) error {
		return &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: status}}
	}
	for _, tc := range []struct {
		err  error
		want error
	}{
		{refusal(400, "InvalidBlockList"), backend.ErrChanged},
		{refusal(400, "InvalidBlobOrBlock"), backend.ErrUnavailable},
		{refusal(400, "Md5Mismatch"), backend.ErrDamaged},
		{refusal(400, "Crc64Mismatch"), backend.ErrDamaged},
		{refusal(400, "InvalidUri"), backend.ErrBadKey},
		{refusal(400, "InvalidResourceName"), backend.ErrBadKey},
		{refusal(400, "OutOfRangeInput"), backend.ErrBadKey},
		{refusal(400, "MetadataTooLarge"), backend.ErrTooLarge},
		{refusal(400, "UnsupportedHeader"), backend.ErrUnsupported},
		{refusal(400, "InvalidAuthenticationInfo"), backend.ErrPermission},
		{refusal(400, "InvalidHeaderValue"), nil},
		{refusal(400, ""), nil},
		{refusal(401, "NoAuthenticationInformation"), backend.ErrPermission},
		{refusal(401, ""), backend.ErrPermission},
		{refusal(403, "AuthenticationFailed"), backend.ErrPermission},
		{refusal(403, "AuthorizationFailure"), backend.ErrPermission},
		{refusal(403, "AuthorizationPermissionMismatch"), backend.ErrPermission},
		{refusal(403, "InsufficientAccountPermissions"), backend.ErrPermission},
		{refusal(403, "CannotVerifyCopySource"), backend.ErrPermission},
		{refusal(403, "AccountIsDisabled"), backend.ErrUnavailable},
		{refusal(404, "BlobNotFound"), backend.ErrNotExist},
		{refusal(404, "CannotVerifyCopySource"), backend.ErrNotExist},
		{refusal(404, "ContainerNotFound"), backend.ErrUnavailable},
		{refusal(404, ""), backend.ErrNotExist},
		{refusal(405, "UnsupportedHttpVerb"), backend.ErrUnsupported},
		{refusal(408, ""), backend.ErrTimeout},
		{refusal(409, "BlobAlreadyExists"), backend.ErrChanged},
		{refusal(409, "BlobArchived"), backend.ErrArchived},
		{refusal(409, "BlobBeingRehydrated"), backend.ErrArchived},
		{refusal(409, "BlobImmutableDueToPolicy"), backend.ErrPermission},
		{refusal(409, "BlobUsesCustomerSpecifiedEncryption"), backend.ErrPermission},
		{refusal(409, "PublicAccessNotPermitted"), backend.ErrPermission},
		{refusal(409, "ContainerBeingDeleted"), backend.ErrUnavailable},
		{refusal(409, "PendingCopyOperation"), backend.ErrUnavailable},
		{refusal(409, "InvalidBlobType"), backend.ErrUnsupported},
		{refusal(409, "ResourceTypeMismatch"), backend.ErrUnsupported},
		{refusal(409, "RequestEntityTooLargeBlockCountExceedsLimit"), backend.ErrTooLarge},
		{refusal(409, "SomethingNew"), backend.ErrUnavailable},
		{refusal(412, "ConditionNotMet"), backend.ErrChanged},
		{refusal(412, "SourceConditionNotMet"), backend.ErrChanged},
		{refusal(412, "TargetConditionNotMet"), backend.ErrChanged},
		{refusal(412, "LeaseIdMissing"), backend.ErrUnavailable},
		{refusal(413, "RequestBodyTooLarge"), backend.ErrTooLarge},
		{refusal(416, "InvalidRange"), backend.ErrRange},
		{refusal(429, ""), backend.ErrThrottled},
		{refusal(500, "InternalError"), backend.ErrUnavailable},
		{refusal(501, "NotImplemented"), backend.ErrUnsupported},
		{refusal(503, "ServerBusy"), backend.ErrThrottled},
		{refusal(503, "OperationTimedOut"), backend.ErrTimeout},
		{refusal(307, ""), backend.ErrUnavailable},
		{context.Canceled, nil},
		{context.DeadlineExceeded, backend.ErrTimeout}, // of the connection; that of the call is looked at before
		{os.ErrDeadlineExceeded, backend.ErrTimeout},
		{io.ErrUnexpectedEOF, backend.ErrConnection},
		{&url.Error{Op: "Get", URL: "https://x", Err: syscall.ECONNRESET}, backend.ErrConnection},
		{&net.DNSError{Name: "x", IsNotFound: true}, backend.ErrUnavailable},
		{fmt.Errorf("%w: %w", backend.ErrPaused, azidentity.NewCredentialUnavailableError("a NonRetriable one")), backend.ErrPaused},
		{loginFailed(400), backend.ErrPermission},
		{loginFailed(401), backend.ErrPermission},
		{loginFailed(503), backend.ErrUnavailable},
		{&azidentity.AuthenticationFailedError{}, backend.ErrUnavailable},
		{azidentity.NewCredentialUnavailableError("nothing was found"), backend.ErrPermission},
	} {
		if got := classify(tc.err); got != tc.want { //nolint:errorlint // the very sentinel
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

// TestWrap: an error names the operation, the key, what the service said and the id of the request, in one line.
func TestWrap(t *testing.T) {
	refused := &azcore.ResponseError{StatusCode: 503, ErrorCode: "ServerBusy", RawResponse: &http.Response{
		StatusCode: http.StatusServiceUnavailable, Header: http.Header{"X-Ms-Request-Id": {"abc"}}, Body: io.NopCloser(strings.NewReader("<Error>\nsig=secret</Error>")),
	}}
	cut := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for want, err := range map[string]error{
		"azure stat k: store unavailable: it throttles: status 503 ServerBusy, request abc":          refused,
		"azure stat k: file does not exist: status 404":                                              refusal(404, ""),
		"azure stat k: status 400 InvalidHeaderValue":                                                refusal(400, "InvalidHeaderValue"),
		"azure stat k: store unavailable: the connection failed: read tcp: connection reset by peer": &url.Error{Op: "Get", URL: "https://x/c?sig=secret", Err: cut},
		"azure stat k: store unavailable: https://x?a=b&sig=REDACTED&c=d and lines":                  errors.New("https://x?a=b&sig=se%2Fcret%3D&c=d\n\tand  lines"),
		"azure stat k: permission denied: tried all of them":                                         azidentity.NewCredentialUnavailableError("tried\nall of them"),
		"azure stat k: store unavailable: SharedAccessSignature sig=REDACTED in quot":                errors.New(`SharedAccessSignature sig=secret in quot`),
	} {
		got := new(Store).wrap(t.Context(), "stat", "k", err)
		if got.Error() != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		safe(t, got)
	}
	if !errors.Is(new(Store).wrap(t.Context(), "stat", "k", &url.Error{Err: cut}), syscall.ECONNRESET) {
		t.Error("the cause is lost")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(Store).wrap(ctx, "stat", "k", refused); !errors.Is(err, context.Canceled) || errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("under a context that has ended: %v", err)
	}
	var told interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if !errors.As(new(Store).wrap(t.Context(), "stat", "k", refused), &told) || told.ErrorCode() != "ServerBusy" || told.ErrorMessage() != "" {
		t.Errorf("the service's own code is lost: %v", told)
	}
	if !errors.As(new(Store).wrap(t.Context(), "stat", "k", refusal(502, "")), &told) || told.ErrorCode() != "status 502" {
		t.Errorf("the status is lost: %v", told)
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
