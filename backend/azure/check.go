package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"sluice/backend"
)

// Check asks whether the container can be reached and read. Its error is one sentence that says what to mend.
func (s *Store) Check(ctx context.Context) error {
	begun := time.Now()
	brief := retries
	brief.MaxRetries = 1
	var raw *http.Response
	p := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: to.Ptr(int32(1))})
	_, err := p.NextPage(policy.WithCaptureResponse(policy.WithRetryOptions(ctx, brief), &raw))
	name, code := s.cfg.Container, errorCode(err)
	var login *azidentity.AuthenticationFailedError
	var final interface{ NonRetriable() }
	switch class := classify(err); {
	case ctx.Err() == nil && foreign(raw):
		return fmt.Errorf("%s does not answer as Azure Blob Storage does: correct endpoint", s.where)
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer within %v: check account and endpoint", s.where, time.Since(begun).Round(time.Millisecond))
	case ctx.Err() != nil:
		return fmt.Errorf("container %s at %s: %w", name, s.where, ctx.Err())
	case errors.As(err, &login), errors.As(err, &final):
		return fmt.Errorf("no credentials for container %s at %s: give accountKey or sas, or let this machine log in: %w", name, s.where, redact(err))
	case code == string(bloberror.ContainerNotFound), errors.Is(class, backend.ErrNotExist):
		return fmt.Errorf("container %s does not exist at %s: create it or correct the name", name, s.where)
	case code == string(bloberror.ContainerBeingDeleted), code == string(bloberror.AccountIsDisabled):
		return fmt.Errorf("container %s at %s is out of service (%s)", name, s.where, code)
	case code == string(bloberror.AuthenticationFailed), code == string(bloberror.InvalidAuthenticationInfo), code == string(bloberror.AuthorizationFailure):
		return fmt.Errorf("%s refuses the credentials for container %s (%s): correct account and accountKey, the dates of the sas, or the account's rules for networks", s.where, name, code)
	case errors.Is(class, backend.ErrPermission):
		return fmt.Errorf("%s denies access to container %s (%s): let these credentials list, read and write it", s.where, name, code)
	case errors.Is(class, backend.ErrUnavailable):
		return fmt.Errorf("%s cannot be reached: check account and endpoint, and the network: %w", s.where, redact(err))
	}
	return fmt.Errorf("container %s at %s: %w", name, s.where, redact(err))
}

// foreign reports whether an answer is that of something else: it has none of the service's headers, and its status is neither a
// refusal nor a failure, both of which a proxy in front may give in words of its own.
func foreign(r *http.Response) bool {
	if r == nil || r.Header.Get("X-Ms-Request-Id") != "" || r.Header.Get("X-Ms-Version") != "" {
		return false
	}
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return r.StatusCode < http.StatusInternalServerError
}
