package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sluice/backend"
)

// wrap says which call failed, and makes its error one that callers can act on.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded): // no caller has gone: the store took too long
		return s.failure(op, key, backend.ErrTimeout, cause)
	case cause != nil:
		return fmt.Errorf("azure %s %s: %w", op, key, cause)
	}
	return s.failure(op, key, classify(err), err)
}

func (s *Store) failure(op, key string, class, err error) *backend.Failure {
	said := redact(err)
	f := &backend.Failure{Store: s.cfg.Name, Driver: caps.Name, Op: op, Key: key, Class: class, Err: said}
	var a *answer
	if errors.As(said, &a) {
		f.Status, f.Code, f.Request = a.status, a.code, a.request
	}
	return f
}

// changed is the failure of a call that met another version than it was to.
func (s *Store) changed(op, key, now, want string) error {
	return s.failure(op, key, backend.ErrChanged, fmt.Errorf("its version is %s, not %s", now, want))
}

// damaged is the failure of a call whose answer does not fit what was asked for.
func (s *Store) damaged(op, key string, request *string, err error) error {
	f := s.failure(op, key, backend.ErrDamaged, err)
	f.Request = value(request)
	return f
}

// read is the failure of a body that breaks.
func (s *Store) read(key string, request *string, err error) error {
	f := s.failure("read", key, backend.NoAnswer(err), err)
	f.Request = value(request)
	return f
}

// answer is an error that the service gave. The SDK's own text has lines and pages; this has what is needed to ask further.
type answer struct {
	status  int
	code    string // of the service; may be empty
	request string // id, for Microsoft's support
}

// ErrorCode is the service's own name for the error, or the status.
func (a *answer) ErrorCode() string {
	if a.code == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return a.code
}

// ErrorMessage is empty: the code says it.
func (a *answer) ErrorMessage() string { return "" }

func (a *answer) Error() string {
	text := fmt.Sprintf("status %d", a.status)
	if a.code != "" {
		text += " " + a.code
	}
	if a.request != "" {
		text += ", request " + a.request
	}
	return text
}

// signature is the secret part of a SAS.
var signature = regexp.MustCompile(`(?i)(sig=)[^&\s"']*`)

// redact makes an error one line without secrets: the errors of net/http tell the whole URL with its SAS, those of the SDK
// whole pages. Nothing in its chain tells more.
func redact(err error) error {
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		a := &answer{status: refused.StatusCode, code: refused.ErrorCode}
		if refused.RawResponse != nil {
			a.request = refused.RawResponse.Header.Get("X-Ms-Request-Id")
		}
		return a
	}
	var u *url.Error
	if errors.As(err, &u) {
		return redact(u.Err)
	}
	text := strings.Join(strings.Fields(signature.ReplaceAllString(err.Error(), "${1}REDACTED")), " ")
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// classes are what the codes of the service mean for callers (Azure Storage, "Blob Storage error codes" and "Common REST API
// error codes"). Where the status says the same, a code is missing here.
var classes = map[string]error{
	"BlobImmutableDueToPolicy": backend.ErrPermission, "BlobUsesCustomerSpecifiedEncryption": backend.ErrPermission,
	"PublicAccessNotPermitted": backend.ErrPermission, "UnauthorizedBlobOverwrite": backend.ErrPermission,
	"InvalidAuthenticationInfo": backend.ErrPermission, "NoAuthenticationInformation": backend.ErrPermission,

	// A store that is not there, not a file.
	"ContainerNotFound": backend.ErrUnavailable, "ContainerBeingDeleted": backend.ErrUnavailable, "ContainerDisabled": backend.ErrUnavailable,
	"AccountBeingCreated": backend.ErrUnavailable, "AccountIsDisabled": backend.ErrUnavailable,
	// Somebody else is at it.
	"PendingCopyOperation": backend.ErrUnavailable, "LeaseIdMissing": backend.ErrUnavailable, "LeaseIdMismatchWithBlobOperation": backend.ErrUnavailable,
	"InvalidBlobOrBlock": backend.ErrUnavailable,

	"Md5Mismatch": backend.ErrDamaged, "Crc64Mismatch": backend.ErrDamaged,

	"ServerBusy": backend.ErrThrottled, "OperationTimedOut": backend.ErrTimeout,

	"BlobArchived": backend.ErrArchived, "BlobBeingRehydrated": backend.ErrArchived,

	"BlobAlreadyExists": backend.ErrChanged,
	"InvalidBlockList":  backend.ErrChanged, // the blocks are gone: another write of the key has dropped them

	"InvalidRange": backend.ErrRange,

	"BlockCountExceedsLimit": backend.ErrTooLarge, "RequestEntityTooLargeBlockCountExceedsLimit": backend.ErrTooLarge, "BlockListTooLong": backend.ErrTooLarge,
	"ContentLengthLargerThanTierLimit": backend.ErrTooLarge, "MetadataTooLarge": backend.ErrTooLarge,

	"InvalidUri": backend.ErrBadKey, "InvalidResourceName": backend.ErrBadKey, "RequestUrlFailedToParse": backend.ErrBadKey, "OutOfRangeInput": backend.ErrBadKey,

	"InvalidBlobType": backend.ErrUnsupported, "ResourceTypeMismatch": backend.ErrUnsupported, "FeatureVersionMismatch": backend.ErrUnsupported,
	"UnsupportedHeader": backend.ErrUnsupported,
}

// classify maps an error of the SDK to a sentinel of package backend; nil if none fits. What is unknown and not the caller's
// fault counts as unavailable.
func classify(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, backend.ErrPaused):
		return backend.ErrPaused
	}
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		if class, ok := classes[refused.ErrorCode]; ok {
			return class
		}
		return classifyStatus(refused.StatusCode)
	}
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) {
		if login.RawResponse != nil && login.RawResponse.StatusCode >= 400 && login.RawResponse.StatusCode < 500 {
			return backend.ErrPermission
		}
		return backend.ErrUnavailable
	}
	var final interface{ NonRetriable() } // of azidentity: no credentials at all
	if errors.As(err, &final) {
		return backend.ErrPermission
	}
	return backend.NoAnswer(err)
}

func classifyStatus(status int) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return backend.ErrPermission
	case status == http.StatusNotFound:
		return backend.ErrNotExist
	case status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return backend.ErrUnsupported
	case status == http.StatusPreconditionFailed:
		return backend.ErrChanged
	case status == http.StatusRequestEntityTooLarge:
		return backend.ErrTooLarge
	case status == http.StatusRequestedRangeNotSatisfiable:
		return backend.ErrRange
	case status == http.StatusConflict: // something else is under way
		return backend.ErrUnavailable
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return backend.ErrThrottled
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return backend.ErrTimeout
	case status >= 500, status < 400:
		return backend.ErrUnavailable
	}
	return nil
}

func errorCode(err error) string {
	var a *answer
	if errors.As(err, &a) {
		return a.code
	}
	var refused *azcore.ResponseError
	if errors.As(err, &refused) {
		return refused.ErrorCode
	}
	return ""
}

type triesKey struct{}

// counted returns a context that counts how often the call made with it was sent. What the second try meets may be the work
// of the first, the answer to which was lost.
func counted(ctx context.Context) (context.Context, *atomic.Int32) {
	n := new(atomic.Int32)
	return context.WithValue(ctx, triesKey{}, n), n
}

// counter is the policy behind counted.
type counter struct{}

// Do implements policy.Policy.
func (counter) Do(r *policy.Request) (*http.Response, error) {
	if n, ok := r.Raw().Context().Value(triesKey{}).(*atomic.Int32); ok {
		n.Add(1)
	}
	return r.Next()
}
