package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"sluice/backend"
)

// wrap says which call failed, and makes its error one that callers can act on. The text of an SDK error holds no secret.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded): // no caller has gone: the store took too long
		return s.failure(op, key, backend.ErrTimeout, cause)
	case cause != nil:
		return fmt.Errorf("s3 %s %s: %w", op, key, cause)
	}
	f := s.failure(op, key, classify(err), describe(err))
	f.Code = apiCode(err)
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		f.Status = resp.HTTPStatusCode()
		f.Request = requestIDs(resp.Response.Header.Get("X-Amz-Request-Id"), resp.Response.Header.Get("X-Amz-Id-2"))
	}
	return f
}

// described is an error of the SDK with a text of its own.
type described struct {
	text string
	err  error
}

func (d *described) Error() string { return d.text }
func (d *described) Unwrap() error { return d.err }

// describe gives an answer of the store a text of one line: the SDK's own runs over several clauses.
func describe(err error) error {
	var api smithy.APIError
	var resp *awshttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &resp) {
		return err
	}
	text := fmt.Sprintf("status %d %s", resp.HTTPStatusCode(), api.ErrorCode())
	if m := strings.Join(strings.Fields(api.ErrorMessage()), " "); m != "" {
		text += ": " + backend.Redact(m)
	}
	return &described{text, err}
}

// changed is the failure of a call that met another version than it was to.
func (s *Store) changed(op, key, now, want string) error {
	return s.failure(op, key, backend.ErrChanged, fmt.Errorf("its version is %s, not %s", now, want))
}

func (s *Store) failure(op, key string, class, err error) *backend.Failure {
	return &backend.Failure{Store: s.cfg.Name, Driver: caps.Name, Op: op, Key: key, Class: class, Err: err}
}

// damaged is the failure of a call whose answer does not fit what was sent.
func (s *Store) damaged(op, key string, answer middleware.Metadata, err error) error {
	f := s.failure(op, key, backend.ErrDamaged, err)
	f.Request = requestOf(answer)
	return f
}

// requestIDs are x-amz-request-id and x-amz-id-2, both of which Amazon's support asks for.
func requestIDs(id, host string) string { return strings.Trim(id+" / "+host, " /") }

// requestOf are the ids of a request that was answered.
func requestOf(answer middleware.Metadata) string {
	id, _ := awsmiddleware.GetRequestIDMetadata(answer)
	host, _ := s3.GetHostIDMetadata(answer)
	return requestIDs(id, host)
}

// badKeys are the codes that mean the keys and not what they may do. versitygw's comes with status 404, which must not be taken
// for a missing object.
var badKeys = map[string]bool{
	"InvalidAccessKeyId": true, "SignatureDoesNotMatch": true, "ExpiredToken": true, "InvalidToken": true, "XAdminUserNotFound": true,
}

// classify maps an error of the SDK to a sentinel of package backend; nil if none fits (Amazon S3 API Reference, "Error
// responses"). What is unknown and not the caller's fault counts as unavailable.
func classify(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if badKeys[api.ErrorCode()] {
			return backend.ErrPermission
		}
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound", "NoSuchUpload":
			return backend.ErrNotExist
		case "NoSuchBucket":
			return backend.ErrUnavailable // a store that is not there, not a file
		case "AccessDenied", "AllAccessDisabled", "Forbidden":
			return backend.ErrPermission
		case "InvalidObjectState":
			return backend.ErrArchived
		case "OperationAborted":
			return backend.ErrUnavailable // another operation is under way
		case "PreconditionFailed", "ConditionalRequestConflict":
			return backend.ErrChanged
		case "InvalidRange":
			return backend.ErrRange
		case "EntityTooLarge", "MaxMessageLengthExceeded":
			return backend.ErrTooLarge
		case "KeyTooLongError", "KeyTooLong":
			return backend.ErrBadKey
		case "NotImplemented", "MethodNotAllowed":
			return backend.ErrUnsupported
		case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "IncompleteBody":
			return backend.ErrDamaged
		case "SlowDown", "ServiceUnavailable", "Busy", "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException":
			return backend.ErrThrottled
		case "RequestTimeout":
			return backend.ErrTimeout
		}
	}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		switch status := resp.HTTPStatusCode(); {
		case status == http.StatusNotFound:
			return backend.ErrNotExist
		case status == http.StatusForbidden, status == http.StatusUnauthorized:
			return backend.ErrPermission
		case status == http.StatusPreconditionFailed, status == http.StatusConflict:
			return backend.ErrChanged
		case status == http.StatusRequestedRangeNotSatisfiable:
			return backend.ErrRange
		case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
			return backend.ErrThrottled
		case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
			return backend.ErrTimeout
		case status >= 500, status >= 200 && status < 300:
			return backend.ErrUnavailable
		case status >= 400:
			return nil
		}
	}
	return backend.NoAnswer(err)
}

// tries counts how often a call was sent. What the second try meets may be the work of the first, the answer to which was
// lost.
type tries int

func (n *tries) count(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("CountTries", func(
			ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
		) (middleware.DeserializeOutput, middleware.Metadata, error) {
			*n++
			return next.HandleDeserialize(ctx, in)
		}), middleware.Before)
	})
}

// retryConflict has a call sent again that met another conditional write of the same key under way (Amazon S3 User Guide,
// "Conditional writes"). Not for a CompleteMultipartUpload, which cannot be repeated after that.
func retryConflict(o *s3.Options) {
	o.Retryer = retry.AddWithErrorCodes(o.Retryer, "ConditionalRequestConflict")
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// cause is the innermost error: what went wrong on the network, without the layers of the SDK around it.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
