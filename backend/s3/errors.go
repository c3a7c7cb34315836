package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"sluice/backend"
)

// wrap says which call failed, and makes its error one that callers can act on. The text of an SDK error names the request
// id and holds no secret.
func wrap(op, key string, err error) error {
	if class := classify(err); class != nil {
		return fmt.Errorf("s3 %s %s: %w: %w", op, key, class, err)
	}
	return fmt.Errorf("s3 %s %s: %w", op, key, err)
}

// badKeys are the codes that mean the keys and not what they may do. versitygw's comes with status 404, which must not be taken
// for a missing object.
var badKeys = map[string]bool{
	"InvalidAccessKeyId": true, "SignatureDoesNotMatch": true, "ExpiredToken": true, "InvalidToken": true, "XAdminUserNotFound": true,
}

// classify maps an error of the SDK to a sentinel of package backend; nil if none fits (Amazon S3 API Reference, "Error
// responses"). What is unknown and not the caller's fault counts as unavailable.
func classify(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
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
			return backend.ErrUnavailable // damaged on the way
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
		case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500, status < 300:
			return backend.ErrUnavailable
		case status >= 400:
			return nil
		}
	}
	return backend.ErrUnavailable
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
