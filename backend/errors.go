package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// The errors that callers can act on. Drivers wrap them; test with errors.Is.
var (
	ErrNotExist    = fs.ErrNotExist
	ErrPermission  = fs.ErrPermission
	ErrUnsupported = errors.ErrUnsupported
	ErrChanged     = errors.New("object changed")    // a precondition failed
	ErrTooLarge    = errors.New("object too large")  // beyond a limit in Caps
	ErrArchived    = errors.New("object archived")   // must be restored before it can be read
	ErrUnavailable = errors.New("store unavailable") // throttled, 5xx, network: later may work
	ErrBadKey      = errors.New("bad key")           // CheckKey refuses it
	ErrRange       = errors.New("offset beyond the end of the object")
)

// Kinds of ErrUnavailable, which they wrap.
var (
	ErrThrottled  = fmt.Errorf("%w: it throttles", ErrUnavailable)
	ErrPaused     = fmt.Errorf("%w: it is given a pause", ErrUnavailable) // and was not asked
	ErrTimeout    = fmt.Errorf("%w: no answer in time", ErrUnavailable)
	ErrConnection = fmt.Errorf("%w: the connection failed", ErrUnavailable)
	ErrDamaged    = fmt.Errorf("%w: damaged on the way", ErrUnavailable) // a checksum or a length does not fit
)

// CheckKey returns an error that wraps ErrBadKey if key is not one that a Store accepts. A segment ".." is refused because
// SDKs put it raw on the wire, where a path-style endpoint may resolve it to another bucket.
func CheckKey(key string, maxLen int) error {
	switch {
	case key == "":
		return fmt.Errorf("empty: %w", ErrBadKey)
	case len(key) > maxLen:
		return fmt.Errorf("%d bytes, the store takes %d: %w", len(key), maxLen, ErrBadKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("not UTF-8: %w", ErrBadKey)
	case strings.ContainsAny(key, "\x00\r\n"):
		return fmt.Errorf("NUL, CR or LF: %w", ErrBadKey)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "." || seg == ".." {
			return fmt.Errorf("segment %q: %w", seg, ErrBadKey)
		}
	}
	return nil
}
