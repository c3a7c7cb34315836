// Package logs makes the program's logger and holds the names of the keys that its records use. Everything in cmd/sluice is its
// caller.
package logs

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
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
	Store    = "store"
	Until    = "until"
	User     = "user"
	Users    = "users"
	Version  = "version"
)

// New returns a logger that writes to w: text for the reader at a terminal, JSON for everyone else.
func New(w io.Writer, level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
