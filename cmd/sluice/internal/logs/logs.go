// Package logs makes the program's logger and holds the names of the keys that its records use. Everything in cmd/sluice is its
// caller.
package logs

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"sluice/backend"
)

// Keys of log records. Package protocol uses the same names.
const (
	Address  = "address" // that we listen on
	Duration = "duration"
	Error    = "error"
	File     = "file"
	Grace    = "grace"
	Key      = "key"     // of the configuration
	Mode     = "mode"    // of a control listener
	Passive  = "passive" // ports
	Remote   = "remote"
	Storage  = "storage" // what a store said of an error: a group
	Store    = "store"
	Until    = "until"
	User     = "user"
	Users    = "users"
	Version  = "version"
)

// New returns a logger that writes to w: text for the reader at a terminal, JSON for everyone else. Durations are text with a unit
// in both, such as 20.577s; a bare number of nanoseconds would tell a reader nothing. An error that a store gave has a group
// "storage" beside it, which names store, operation, key, class and request.
func New(w io.Writer, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func replace(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		return readable(a)
	case slog.KindAny:
		var f *backend.Failure
		if err, ok := a.Value.Any().(error); ok && errors.As(err, &f) {
			return slog.Attr{Value: slog.GroupValue(slog.String(a.Key, err.Error()), slog.Attr{Key: Storage, Value: f.Details()})}
		}
	}
	return a
}

// readable writes a duration as text, to the millisecond, or to the microsecond where it is below a second.
func readable(a slog.Attr) slog.Attr {
	d, unit := a.Value.Duration(), time.Millisecond
	if d.Abs() < time.Second {
		unit = time.Microsecond
	}
	return slog.String(a.Key, d.Round(unit).String())
}
