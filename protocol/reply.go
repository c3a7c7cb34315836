package protocol

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/codec"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
)

func reply(code int, lines ...string) wire.Reply { return wire.Reply{Code: code, Lines: lines} }

// errorReplies says which reply an error is, in the order in which they are tried. The texts are all that a client learns.
var errorReplies = []struct {
	err   error
	reply wire.Reply
}{
	{errAborted, reply(426, "Transfer aborted")},
	{errShutdown, reply(426, "Server is shutting down; transfer aborted")},
	{errLost, reply(426, "Control connection lost; transfer aborted")},
	{dataconn.ErrNoPort, reply(425, "No passive port is free; try again")},
	{dataconn.ErrNoConn, reply(425, "Data connection was not opened")},
	{dataconn.ErrNotResumed, reply(522, "Data connection must resume the TLS session of the control connection")},
	{dataconn.ErrStalled, reply(426, "Data connection timed out; transfer aborted")},
	{dataconn.ErrCutOff, reply(426, "Data connection closed before the end; transfer aborted")},
	{codec.ErrCutOff, reply(426, "Data ended before the file did; transfer aborted")},
	{codec.ErrBomb, reply(552, "Compressed data expands too much; transfer aborted")},
	{codec.ErrFormat, reply(551, "Data does not fit TYPE, MODE and STRU; transfer aborted")},
	{vfs.ErrExist, reply(550, "File exists")},
	{vfs.ErrIsDir, reply(550, "Is a directory")},
	{vfs.ErrNotDir, reply(550, "Not a directory")},
	{vfs.ErrNotEmpty, reply(550, "Directory not empty")},
	{vfs.ErrName, reply(553, "File name not allowed")},
	{backend.ErrBadKey, reply(553, "File name not allowed")},
	{vfs.ErrOffset, reply(554, "Restart position is beyond the end of the file")},
	{backend.ErrRange, reply(554, "Restart position is beyond the end of the file")},
	{vfs.ErrTooMany, reply(553, "Directory has too many files to be renamed")},
	{vfs.ErrQuota, reply(552, "Quota exceeded")},
	{backend.ErrTooLarge, reply(552, "File too large")},
	{vfs.ErrBusy, reply(450, "Busy; try again later")},
	{vfs.ErrFull, reply(450, "Too many transfers are running; try again later")},
	{backend.ErrArchived, reply(450, "File is archived; send SITE RESTORE path [days] and try again when that is done")},
	{backend.ErrNotExist, reply(550, "No such file or directory")},
	{backend.ErrPermission, reply(550, "Permission denied")},
	{backend.ErrUnsupported, reply(550, "Not supported here")},
	{backend.ErrChanged, reply(451, "File was changed by somebody else; try again")},
	{backend.ErrUnavailable, reply(451, "Storage is unavailable; try again later")},
	{wire.ErrArgument, reply(501, "Syntax error in argument")},
}

// errorReply is the reply to err, and how much the log should make of it. What nobody foresaw becomes 451 with an id that stands in
// the log beside the error.
func errorReply(err error) (rep wire.Reply, level slog.Level, errorID string) {
	for _, row := range errorReplies {
		if !errors.Is(err, row.err) {
			continue
		}
		if row.reply.Code/100 == 4 || denied(err) {
			return row.reply, slog.LevelWarn, ""
		}
		return row.reply, slog.LevelDebug, ""
	}
	errorID = rand.Text()[:8]
	return reply(451, "Internal error "+errorID+"; the log of the server says more"), slog.LevelError, errorID
}

// denied reports whether a store refuses what the user may do: that is for whoever runs the server to mend.
func denied(err error) bool {
	var f *backend.Failure
	return errors.As(err, &f) && (errors.Is(f.Class, backend.ErrPermission) || errors.Is(f.Class, backend.ErrUnsupported))
}

// failed is the reply to a command that failed, about which it writes one line.
func (s *session) failed(ctx context.Context, cmd wire.Command, err error) wire.Reply {
	rep, level, id := errorReply(err)
	attrs := []any{"command", cmd.String(), "code", rep.Code, "error", err}
	if id != "" {
		attrs = append(attrs, "error_id", id)
	}
	s.log.Log(ctx, level, "command failed", attrs...)
	return rep
}
