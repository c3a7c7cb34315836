package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestFailure(t *testing.T) {
	inner := errors.New("status 503")
	f := &Failure{Store: "drops", Driver: "s3", Op: "put", Key: "a b", Class: ErrThrottled, Status: 503, Code: "SlowDown", Request: "R1", Err: inner}
	err := fmt.Errorf("put /a: %w", f)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrThrottled) || !errors.Is(err, inner) || errors.Is(err, ErrTimeout) {
		t.Errorf("%v is not what it was made of", err)
	}
	if got, want := err.Error(), "put /a: s3 put a b: store unavailable: it throttles: status 503"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, tt := range []struct {
		f    *Failure
		want string
	}{
		{f, `f.store=drops f.type=s3 f.op=put f.key="a b" f.class=throttled f.code=SlowDown f.request_id=R1 f.status=503`},
		{&Failure{Driver: "gcs", Op: "stat", Key: "k", Err: inner}, `f.type=gcs f.op=stat f.key=k f.class=unknown`},
	} {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "f", tt.f.Details())
		if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), "msg=m "); got != tt.want {
			t.Errorf("logged %s, want %s", got, tt.want)
		}
	}
	if got := (&Failure{Driver: "gcs", Op: "stat", Key: "k", Err: inner}).Error(); got != "gcs stat k: status 503" {
		t.Errorf("without a class: %s", got)
	}
}

// Every class has a word of its own, and the kinds of ErrUnavailable are not taken for it.
func TestClassName(t *testing.T) {
	seen := map[string]bool{"unknown": true}
	for _, c := range classNames {
		name := ClassName(fmt.Errorf("x: %w", c.class))
		if name != c.name || seen[name] {
			t.Errorf("%v is %q", c.class, name)
		}
		seen[name] = true
	}
	if got := ClassName(io.EOF); got != "unknown" {
		t.Errorf("io.EOF is %q", got)
	}
}

func TestNoAnswer(t *testing.T) {
	dialer := net.Dialer{Timeout: 1} // a nanosecond
	_, late := dialer.DialContext(context.Background(), "tcp", "127.0.0.1:1")
	for _, tt := range []struct {
		err, want error
	}{
		{late, ErrTimeout},
		{&url.Error{Op: "Put", URL: "http://x", Err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}}, ErrTimeout},
		{&url.Error{Op: "Put", URL: "http://x", Err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}}, ErrConnection},
		{&url.Error{Op: "Put", URL: "http://x", Err: io.EOF}, ErrConnection},
		{&url.Error{Op: "Put", URL: "http://x", Err: fmt.Errorf("broken: %w", late)}, ErrTimeout},
		{&url.Error{Op: "Put", URL: "http://x", Err: fmt.Errorf("broken: %w", &net.DNSError{IsTimeout: true})}, ErrTimeout},
		{io.ErrUnexpectedEOF, ErrConnection},
		{&url.Error{Op: "Put", URL: "http://x", Err: ErrPaused}, ErrPaused},
		{errors.New("what is this"), ErrUnavailable},
	} {
		if got := NoAnswer(tt.err); got != tt.want { //nolint:errorlint // the kinds wrap each other
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"AWS4-HMAC-SHA256 Credential=AKIA/2026, SignedHeaders=host, Signature=abc no":                          "AWS4-HMAC-SHA256 Credential=REDACTED, SignedHeaders=host, Signature=REDACTED no",
		"Proxy-Authorization: Basic dXNlcg== X":                                                                "Proxy-Authorization: Basic REDACTED X",
		"authorization: bearer ya29.x-y_z":                                                                     "authorization: bearer REDACTED",
		"X-Amz-Security-Token: hush; ?sv=1&X-Amz-Signature=hush&x=1":                                           "X-Amz-Security-Token: REDACTED ?sv=1&X-Amz-Signature=REDACTED&x=1",
		"x-amz-server-side-encryption-customer-key: aHVzaA== x-amz-server-side-encryption-customer-key-MD5: z": "x-amz-server-side-encryption-customer-key: REDACTED x-amz-server-side-encryption-customer-key-MD5: z",
		"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key:aHVzaA==,":                                      "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key:REDACTED,",
		"x-goog-encryption-key: aHVzaA== x-goog-encryption-algorithm: AES256":                                  "x-goog-encryption-key: REDACTED x-goog-encryption-algorithm: AES256",
		"X-Ms-Encryption-Key: aHVzaA==":                                                                        "X-Ms-Encryption-Key: REDACTED",
		"AccountName=a;AccountKey=aHVzaA==":                                                                    "AccountName=a;AccountKey=REDACTED",
		"https://a.test/b?sv=1&sig=a%2Fb&se=2":                                                                 "https://a.test/b?sv=1&sig=REDACTED&se=2",
		`{"token":"hush","client_secret" : "hush hush", "n": 1}`:                                               `{"token":REDACTED,"client_secret" : REDACTED, "n": 1}`,
		"Authorization: SharedKey acme:aHVzaA==":                                                               "Authorization: SharedKey REDACTED",
		"give the whole query string, with sig= in it":                                                         "give the whole query string, with sig= in it",
		"The specified key does not exist. Key: drops/a":                                                       "The specified key does not exist. Key: drops/a",
		"User: arn:aws:iam::1:user/u is not authorized to perform: s3:PutObject":                               "User: arn:aws:iam::1:user/u is not authorized to perform: s3:PutObject",
	} {
		if got := Redact(text); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
