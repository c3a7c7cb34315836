package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"sluice/backend"
)

// TestClassify: what an answer means to callers, and what is known of it afterwards.
func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   error
	}{
		{400, "BadDigest", backend.ErrDamaged},
		{400, "XAmzContentChecksumMismatch", backend.ErrDamaged},
		{400, "RequestTimeout", backend.ErrTimeout},
		{400, "KeyTooLongError", backend.ErrBadKey},
		{400, "EntityTooLarge", backend.ErrTooLarge},
		{400, "ExpiredToken", backend.ErrPermission},
		{400, "InvalidRequest", nil},
		{403, "AccessDenied", backend.ErrPermission},
		{403, "SignatureDoesNotMatch", backend.ErrPermission},
		{403, "InvalidObjectState", backend.ErrArchived},
		{404, "NoSuchKey", backend.ErrNotExist},
		{404, "NoSuchBucket", backend.ErrUnavailable},
		{404, "XAdminUserNotFound", backend.ErrPermission},
		{405, "MethodNotAllowed", backend.ErrUnsupported},
		{409, "ConditionalRequestConflict", backend.ErrChanged},
		{409, "OperationAborted", backend.ErrUnavailable},
		{412, "PreconditionFailed", backend.ErrChanged},
		{416, "InvalidRange", backend.ErrRange},
		{429, "TooManyRequestsException", backend.ErrThrottled},
		{429, "Unheard", backend.ErrThrottled},
		{500, "InternalError", backend.ErrUnavailable},
		{501, "NotImplemented", backend.ErrUnsupported},
		{503, "SlowDown", backend.ErrThrottled},
		{503, "Unheard", backend.ErrThrottled},
		{504, "Unheard", backend.ErrTimeout},
	} {
		s := wire(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Request-Id", "REQ")
			w.Header().Set("X-Amz-Id-2", "HOST")
			fail(w, tc.status, tc.code)
		}, Config{Name: "drops", Tries: 1})
		_, err := s.Put(t.Context(), "k", nil, backend.PutOptions{})
		var f *backend.Failure
		if !errors.As(err, &f) {
			t.Fatalf("%d %s: %v", tc.status, tc.code, err)
		}
		f.Err = nil
		if want := (backend.Failure{Store: "drops", Driver: "s3", Op: "put", Key: "k", Class: tc.want, Status: tc.status, Code: tc.code, Request: "REQ / HOST"}); *f != want {
			t.Errorf("got  %+v\nwant %+v", *f, want)
		}
	}
	for _, tc := range []struct{ err, want error }{
		{context.Canceled, nil},
		{&url.Error{Op: "Put", URL: "http://x", Err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}}, backend.ErrTimeout},
		{&url.Error{Op: "Put", URL: "http://x", Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, backend.ErrConnection},
		{fmt.Errorf("send: %w", backend.ErrPaused), backend.ErrPaused},
		{errors.New("what is this"), backend.ErrUnavailable},
	} {
		if got := classify(tc.err); got != tc.want { //nolint:errorlint // the very sentinel
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

// TestDamaged: a store that has got something else than was sent, and a body that breaks, are named by the request too.
func TestDamaged(t *testing.T) {
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Request-Id", "REQ")
		w.Header().Set("X-Amz-Id-2", "HOST")
		w.Header().Set("ETag", `"e"`)
		switch r.Method {
		case http.MethodPut:
			w.Header().Set("X-Amz-Checksum-Crc64nvme", *encode64(7))
		case http.MethodGet:
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
		}
	}, Config{Name: "drops", Tries: 1})
	check := func(err, class error, op string) {
		t.Helper()
		var f *backend.Failure
		if !errors.As(err, &f) || f.Class != class || f.Op != op || f.Key != "k" || f.Store != "drops" || f.Request != "REQ / HOST" { //nolint:errorlint // the very sentinel
			t.Errorf("%+v", f)
		}
	}
	_, err := s.Put(t.Context(), "k", []byte("body"), backend.PutOptions{})
	check(err, backend.ErrDamaged, "put")
	r, _, err := s.Open(t.Context(), "k", backend.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = io.ReadAll(r)
	check(err, backend.ErrConnection, "read")
}

// TestTries: what may pass is tried as often as the configuration says, and nothing else.
func TestTries(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   int
	}{{503, "SlowDown", 2}, {429, "Unheard", 2}, {500, "InternalError", 2}, {400, "BadDigest", 2}, {400, "XAmzContentChecksumMismatch", 2}, {400, "IncompleteBody", 2}, {403, "AccessDenied", 1}, {412, "PreconditionFailed", 1}} {
		n := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead { // the look whether one has been done
				w.WriteHeader(http.StatusNotFound)
				return
			}
			n++
			fail(w, tc.status, tc.code)
		}))
		defer srv.Close()
		s := connect(t, Config{Endpoint: srv.URL, Tries: 2})
		if _, err := s.Put(t.Context(), "k", nil, backend.PutOptions{}); err == nil || n != tc.want {
			t.Errorf("%d %s: %v after %d tries, want %d", tc.status, tc.code, err, n, tc.want)
		}
	}
}

// TestRepeated: what a server repeats of the request is not in the text of an error.
func TestRepeated(t *testing.T) {
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>not %s\nas told; token: hush</Message></Error>", r.Header.Get("Authorization"))
	}, Config{})
	_, err := s.Put(t.Context(), "k", nil, backend.PutOptions{})
	if text := fmt.Sprint(err); strings.Contains(text, "AKID") || strings.Contains(text, "hush") || strings.Contains(text, "\n") || !strings.Contains(text, "status 403 SignatureDoesNotMatch: not ") {
		t.Errorf("%s", text)
	}
}

// TestRedirects: a server that sends requests round in a circle is given up.
func TestRedirects(t *testing.T) {
	n := 0
	s := wire(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	}, Config{Tries: 1})
	if _, err := s.Stat(t.Context(), "k"); err == nil || n != maxRedirects+1 {
		t.Errorf("%v after %d requests", err, n)
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
