package protocol

import (
	"context"
	"strconv"
	"strings"

	"sluice/protocol/wire"
)

// maxRestoreDays is the longest time for which a file may be restored.
const maxRestoreDays = 3650

// siteRestore asks for an archived file to be made readable, for a number of days that may stand behind its name: who means a file whose
// name ends in a number gives the days too. The work takes the
// store minutes or hours, and RETR answers 450 until it is done.
func (s *session) siteRestore(ctx context.Context, arg string) (wire.Reply, error) {
	name, days := arg, 0
	if i := strings.LastIndexByte(arg, ' '); i > 0 {
		if n, err := strconv.Atoi(arg[i+1:]); err == nil {
			if n < 1 || n > maxRestoreDays {
				return reply(501, "The number of days is 1 to "+strconv.Itoa(maxRestoreDays)), nil
			}
			name, days = arg[:i], n
		}
	}
	begun, err := s.account.FS.Restore(ctx, s.path(name), days)
	switch {
	case err != nil:
		return wire.Reply{}, err
	case !begun:
		return reply(250, "File is not archived; it can be read now"), nil
	}
	return reply(250, "The restore is under way; try RETR again later"), nil
}
