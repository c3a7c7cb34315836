package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/backend"
)

// Check asks whether the bucket can be reached and read. Its error is one sentence that says what to mend; the SDK's own text,
// which runs over several clauses and names requests, is not part of it.
func (s *Store) Check(ctx context.Context) error {
	where := s.cfg.Endpoint
	if where == "" {
		where = "Amazon S3"
	}
	begun := time.Now()
	if err := s.credentials(ctx); err != nil {
		return err
	}
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, MaxKeys: aws.Int32(1)}, func(o *s3.Options) { o.RetryMaxAttempts = 2 })
	switch {
	case err == nil && out.Name == nil && out.KeyCount == nil && out.MaxKeys == nil && out.IsTruncated == nil:
		return notS3(where) // a page that reads like an empty listing
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %v: check the endpoint", where, allowed(ctx, begun))
	case ctx.Err() != nil:
		return fmt.Errorf("bucket %s at %s: %w", s.cfg.Bucket, where, ctx.Err())
	}
	code := apiCode(err)
	switch class := classify(err); {
	case code == "NoSuchBucket":
		return fmt.Errorf("bucket %s does not exist at %s: create it or correct the name", s.cfg.Bucket, where)
	case badKeys[code]:
		return fmt.Errorf("%s refuses the keys for bucket %s (%s): correct accessKey and secretKey", where, s.cfg.Bucket, code)
	case code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed":
		return fmt.Errorf("bucket %s at %s is not in the region given: correct region (%s)", s.cfg.Bucket, where, code)
	case foreign(err):
		return notS3(where)
	case errors.Is(class, backend.ErrPermission):
		return fmt.Errorf("%s denies access to bucket %s: let these keys list, read and write it", where, s.cfg.Bucket)
	case errors.Is(class, backend.ErrUnavailable):
		return fmt.Errorf("%s cannot be reached: check the endpoint and that it is running: %w", where, fault(err))
	}
	return fmt.Errorf("%s does not list bucket %s: correct the bucket, the endpoint and the region: %w", where, s.cfg.Bucket, fault(err))
}

// credentials makes sure that there are some, from wherever the SDK looks for them. Otherwise the endpoint would get the blame.
func (s *Store) credentials(ctx context.Context) error {
	_, err := s.client.Options().Credentials.Retrieve(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("credentials for bucket %s: %w", s.cfg.Bucket, ctx.Err())
	case apiCode(err) != "" && apiCode(err) != "UnknownError": // of whoever gives a role away
		return fmt.Errorf("no credentials for bucket %s: the role is refused (%s): correct the role and who may take it", s.cfg.Bucket, apiCode(err))
	}
	return fmt.Errorf("no credentials for bucket %s: give accessKey and secretKey, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role provides them", s.cfg.Bucket)
}

// notS3 is the error for an endpoint that is something else.
func notS3(where string) error {
	return fmt.Errorf("%s does not answer as S3 does: correct endpoint", where)
}

// foreign reports whether an answer came that no S3 server gives to a listing: one without a code, of a status that is neither
// a refusal nor a failure, both of which a proxy in front may give in words of its own.
func foreign(err error) bool {
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) {
		return false
	}
	status := resp.HTTPStatusCode()
	switch status {
	case 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	if status >= 500 {
		return false
	}
	switch apiCode(err) { // the SDK makes one up of the words of the status where the body has none
	case "", "UnknownError", strings.ReplaceAll(http.StatusText(status), " ", ""):
		return true
	}
	return false
}

// allowed is how long ctx has given what began at begun, as far as a reader cares.
func allowed(ctx context.Context, begun time.Time) time.Duration {
	wait := time.Since(begun)
	if end, ok := ctx.Deadline(); ok {
		wait = end.Sub(begun)
	}
	if wait > time.Second {
		return wait.Round(time.Second)
	}
	return wait.Round(time.Millisecond)
}

// fault is what an answer says in short, or what went wrong on the network where there was none.
func fault(err error) error {
	var resp *awshttp.ResponseError
	switch code := apiCode(err); {
	case code != "":
		return errors.New(code)
	case errors.As(err, &resp) && resp.HTTPStatusCode() != 0:
		return fmt.Errorf("status %d %s", resp.HTTPStatusCode(), http.StatusText(resp.HTTPStatusCode()))
	}
	return cause(err)
}
