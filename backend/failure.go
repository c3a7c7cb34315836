package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
)

// Failure is what a store refused, or what went wrong on the way to it, with what its operators need to look into it. Drivers
// return it; they log nothing.
type Failure struct {
	Store   string // the name that the configuration gives the store; may be empty
	Driver  string // Caps.Name
	Op, Key string // what was tried, such as "put"
	Class   error  // a sentinel of this package; nil: none fits
	Status  int    // of HTTP; 0: there was no answer
	Code    string // the store's own name for the error
	Request string // the ids that the store gave the request
	Err     error  // what happened; its text holds no secrets
}

// Error implements error.
func (f *Failure) Error() string {
	if f.Class == nil || errors.Is(f.Err, f.Class) {
		return fmt.Sprintf("%s %s %s: %v", f.Driver, f.Op, f.Key, f.Err)
	}
	return fmt.Sprintf("%s %s %s: %v: %v", f.Driver, f.Op, f.Key, f.Class, f.Err)
}

// Unwrap returns the class and what happened.
func (f *Failure) Unwrap() []error {
	if f.Class == nil {
		return []error{f.Err}
	}
	return []error{f.Class, f.Err}
}

// Details is a group for the log. What is not known is left out.
func (f *Failure) Details() slog.Value {
	attrs := []slog.Attr{}
	for _, a := range []slog.Attr{
		slog.String("store", f.Store), slog.String("type", f.Driver), slog.String("op", f.Op), slog.String("key", f.Key),
		slog.String("class", ClassName(f.Class)), slog.String("code", f.Code), slog.String("request_id", f.Request),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if f.Status != 0 {
		attrs = append(attrs, slog.Int("status", f.Status))
	}
	return slog.GroupValue(attrs...)
}

// classNames are the classes in the words of the log. The first that fits counts.
var classNames = []struct {
	class error
	name  string
}{
	{ErrThrottled, "throttled"}, {ErrPaused, "paused"}, {ErrTimeout, "timeout"}, {ErrConnection, "connection"}, {ErrDamaged, "checksum"},
	{ErrUnavailable, "unavailable"}, {ErrNotExist, "missing"}, {ErrPermission, "permission"}, {ErrChanged, "changed"},
	{ErrArchived, "archived"}, {ErrTooLarge, "too large"}, {ErrRange, "range"}, {ErrBadKey, "bad key"}, {ErrUnsupported, "unsupported"},
}

// ClassName is the word for the class of an error, such as "throttled"; "unknown" where it has none.
func ClassName(err error) string {
	for _, c := range classNames {
		if errors.Is(err, c.class) {
			return c.name
		}
	}
	return "unknown"
}

// secret is what a server, or something in front of it, might repeat of a request that it does not understand: a header, a parameter or a
// member of JSON. The word key alone names an object.
var secret = regexp.MustCompile(`(?i)((?:signature|credential|token|secret|[\w-]key|\bsig)[\\"]*(?:=|\s*:\s*)|\b(?:basic|bearer|sharedkey)\s+)(?:\\?"[^"]*"?|[^\s,&"]+)`)

// Redact takes out of what a store says the credentials of the request that it answers.
func Redact(text string) string { return secret.ReplaceAllString(text, "${1}REDACTED") }

// Reclass is err with another class, where what the store says means something else to the caller.
func Reclass(err, class error) error {
	var f *Failure
	if !errors.As(err, &f) {
		return fmt.Errorf("%w: %s", class, err.Error())
	}
	other := *f
	other.Class, other.Err = class, errors.New(f.Err.Error())
	return &other
}

// Doubtful reports whether a change that failed with err, after so many tries, may be done all the same: its answer was lost, or another try
// met what an earlier one has made. One that was not sent is not, nor one that was refused at its only try.
func Doubtful(err error, tries int) bool {
	switch {
	case errors.Is(err, ErrPaused):
		return false
	case errors.Is(err, ErrChanged), errors.Is(err, ErrDamaged), errors.Is(err, ErrThrottled):
		return tries > 1
	}
	return errors.Is(err, ErrUnavailable)
}

// Told is the error of a change that is in doubt, failed with err, and was looked for in vain: err where the look has found something else or
// nothing, ErrUnavailable where it has failed too.
func Told(err, look error) error {
	if look == nil || errors.Is(look, ErrNotExist) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return Reclass(look, ErrUnavailable)
}

// NoAnswer is the class of an error that came instead of an answer, while the caller was still waiting for one.
func NoAnswer(err error) error {
	var op *net.OpError
	var request *url.Error
	switch {
	case errors.Is(err, ErrPaused):
		return ErrPaused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), timedOut(err):
		return ErrTimeout
	case errors.As(err, &op), errors.As(err, &request), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ErrConnection
	}
	return ErrUnavailable
}

// timedOut asks every error in the chain that knows: one of net/http speaks only for the next one below it.
func timedOut(err error) bool {
	var said interface {
		error
		Timeout() bool
	}
	for errors.As(err, &said) {
		if said.Timeout() {
			return true
		}
		err = errors.Unwrap(said)
	}
	return false
}
