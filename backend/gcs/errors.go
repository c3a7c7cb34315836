package gcs

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"sluice/backend"
)

// errDone is the end of a listing.
var errDone = iterator.Done

// wrap says which call failed, and makes its error one that callers can act on. Its text holds no secret.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded): // no caller has gone: the store took too long
		return s.failure(op, key, backend.ErrTimeout, cause)
	case cause != nil:
		return fmt.Errorf("gcs %s %s: %w", op, key, cause)
	}
	return s.failure(op, key, classify(err), err)
}

// changed is the failure of a call that met another version than it was to.
func (s *Store) changed(op, key, now, want string) error {
	return s.failure(op, key, backend.ErrChanged, fmt.Errorf("its version is %s, not %s", now, want))
}

func (s *Store) failure(op, key string, class, err error) *backend.Failure {
	said := describe(err)
	f := &backend.Failure{Store: s.cfg.Name, Driver: caps.Name, Op: op, Key: key, Class: class, Err: said}
	var a *apiError
	if errors.As(said, &a) {
		f.Status, f.Code, f.Request = a.status, a.code, a.request
	}
	return f
}

// classify maps an error of the SDK to a sentinel of package backend; nil if none fits (Cloud Storage JSON API, "HTTP status
// and error codes for JSON"). What is unknown and not the caller's fault counts as unavailable.
func classify(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if badToken(err) != "" {
		return backend.ErrPermission
	}
	if class := own(err); class != nil {
		return class
	}
	var api *googleapi.Error
	if !errors.As(err, &api) {
		var token *auth.Error
		switch {
		case errors.As(err, &token) && token.Response != nil:
			return backend.ErrUnavailable // of whoever gives tokens
		case errors.Is(err, storage.ErrBucketNotExist):
			return backend.ErrUnavailable // a store that is not there, not a file
		case errors.Is(err, storage.ErrObjectNotExist):
			return backend.ErrNotExist
		}
		return backend.NoAnswer(err)
	}
	reason, text := detail(api)
	switch code := api.Code; {
	case code == http.StatusBadRequest && (strings.Contains(text, "crc32c") || strings.Contains(text, "md5") || reason == "baddigest"):
		return backend.ErrDamaged
	case code == http.StatusBadRequest && strings.Contains(reason, "customerencryption"), code == http.StatusBadRequest && strings.Contains(reason, "encryptedwithcustomer"):
		return backend.ErrPermission // another key, or none
	case code == http.StatusBadRequest && unpaid(err):
		return backend.ErrPermission
	case code == http.StatusUnauthorized:
		return backend.ErrPermission
	case code == http.StatusForbidden && (strings.Contains(reason, "ratelimit") || strings.Contains(reason, "quotaexceeded")):
		return backend.ErrThrottled
	case code == http.StatusForbidden:
		return backend.ErrPermission
	case code == http.StatusNotFound && (errors.Is(err, storage.ErrBucketNotExist) || strings.Contains(text, "bucket does not exist")):
		return backend.ErrUnavailable
	case code == http.StatusNotFound:
		return backend.ErrNotExist
	case code == http.StatusNotModified, code == http.StatusConflict, code == http.StatusPreconditionFailed:
		return backend.ErrChanged
	case code == http.StatusRequestEntityTooLarge:
		return backend.ErrTooLarge
	case code == http.StatusRequestedRangeNotSatisfiable:
		return backend.ErrRange
	case code == http.StatusNotImplemented, code == http.StatusMethodNotAllowed:
		return backend.ErrUnsupported
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return backend.ErrThrottled
	case code == http.StatusRequestTimeout, code == http.StatusGatewayTimeout:
		return backend.ErrTimeout
	case code >= 500, code < 300:
		return backend.ErrUnavailable
	}
	return nil
}

// own is the class of an error that says itself what callers can do; nil for those of the SDK.
func own(err error) error {
	for _, class := range []error{backend.ErrDamaged, backend.ErrPaused, backend.ErrUnavailable, backend.ErrChanged, backend.ErrRange} {
		if errors.Is(err, class) {
			return class
		}
	}
	return nil
}

// status is that of the answer; 0 where there was none.
func status(err error) int {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code
	}
	return 0
}

// detail is what an answer says in its own words, in lower case: the reason or code, and the message.
func detail(api *googleapi.Error) (reason, text string) {
	a := read(api, api)
	return strings.ToLower(a.code), strings.ToLower(a.message)
}

// unpaid reports whether the bucket asks who pays.
func unpaid(err error) bool {
	var api *googleapi.Error
	if !errors.As(err, &api) || api.Code != http.StatusBadRequest {
		return false
	}
	reason, text := detail(api)
	return reason == "userprojectmissing" || strings.Contains(text, "requester pays")
}

// badToken names what is wrong where Google gives no token for the credentials; empty for every other error, and where it may
// give one later.
func badToken(err error) string {
	var token *auth.Error
	if !errors.As(err, &token) || token.Temporary() || token.Response == nil || token.Response.StatusCode >= 500 {
		return ""
	}
	return fmt.Sprintf("no token, status %d", token.Response.StatusCode)
}

// apiError is an answer of the store, in one line. Answers to reads are XML, all others JSON.
type apiError struct {
	err           error // of the SDK
	status        int
	code, message string
	request       string // its id
}

// describe gives an error of the SDK a text of one line with the request id.
func describe(err error) error {
	if own(err) != nil {
		return err
	}
	var api *googleapi.Error
	if !errors.As(err, &api) {
		var token *auth.Error
		if errors.As(err, &token) { // its own text repeats what the token server says about the account
			return &textError{text: "Google gives no token for the credentials", err: err}
		}
		return err
	}
	return read(api, err)
}

// read takes from an answer what it says; err is the error around it.
func read(api *googleapi.Error, err error) *apiError {
	a := &apiError{err: err, status: api.Code, request: api.Header.Get("X-Guploader-Uploadid"), message: api.Message}
	if len(api.Errors) > 0 {
		a.code = api.Errors[0].Reason
	}
	var body struct {
		Code, Message, Details string
	}
	if a.message == "" && xml.Unmarshal([]byte(api.Body), &body) == nil {
		a.code, a.message = body.Code, strings.TrimSpace(body.Message+" "+body.Details)
	}
	return a
}

// Error implements error.
func (a *apiError) Error() string {
	s := fmt.Sprintf("status %d", a.status)
	if a.code != "" {
		s += " " + a.code
	}
	if m := a.ErrorMessage(); m != "" {
		s += ": " + m
	}
	if a.request != "" {
		s += " (request id " + a.request + ")"
	}
	return s
}

// Unwrap returns the SDK's error.
func (a *apiError) Unwrap() error { return a.err }

// ErrorCode is the store's name of the error, or its HTTP status.
func (a *apiError) ErrorCode() string {
	if a.code == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return a.code
}

// ErrorMessage is what the store says, in one line and without secrets.
func (a *apiError) ErrorMessage() string {
	return backend.Redact(strings.Join(strings.Fields(a.message), " "))
}

// textError has a text of its own, and is still what it was made of.
type textError struct {
	text string
	err  error
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.err }

// cause is the innermost error: what went wrong on the network, without the layers of the SDK around it.
func cause(err error) error {
	if said := describe(err); said != err { //nolint:errorlint // whether it has another text
		return said
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
