package protocol

import (
	"context"
	"crypto/rand"
	"errors"
	"os"

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
	{os.ErrDeadlineExceeded, reply(426, "Data connection timed out; transfer aborted")},
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
	{vfs.ErrQuota, reply(552, "Quota exceeded")},
	{backend.ErrTooLarge, reply(552, "File too large")},
	{vfs.ErrBusy, reply(450, "Busy; try again later")},
	{backend.ErrArchived, reply(450, "File is archived; send SITE RESTORE path [days] and try again when that is done")},
	{backend.ErrNotExist, reply(550, "No such file or directory")},
	{backend.ErrPermission, reply(550, "Permission denied")},
	{backend.ErrUnsupported, reply(550, "Not supported here")},
	{backend.ErrChanged, reply(451, "File was changed by somebody else; try again")},
	{backend.ErrUnavailable, reply(451, "Storage is unavailable; try again later")},
	{wire.ErrArgument, reply(501, "Syntax error in argument")},
}

// errorReply is the reply to err. What nobody foresaw becomes 451 with an id that stands in the log beside the error.
func (s *session) errorReply(ctx context.Context, cmd wire.Command, err error) wire.Reply {
	for _, row := range errorReplies {
		if errors.Is(err, row.err) {
			if row.reply.Code/100 == 4 {
				s.log.WarnContext(ctx, "command failed", "command", cmd.String(), "code", row.reply.Code, "error", err)
			} else {
				s.log.DebugContext(ctx, "command refused", "command", cmd.String(), "code", row.reply.Code, "error", err)
			}
			return row.reply
		}
	}
	errorID := rand.Text()[:8]
	s.log.ErrorContext(ctx, "unforeseen error", "command", cmd.String(), "error_id", errorID, "error", err)
	return reply(451, "Internal error "+errorID+"; the log of the server says more")
}
