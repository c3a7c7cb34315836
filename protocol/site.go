package protocol

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"sluice/protocol/wire"
)

// maxIdle is the longest idle time that a client may ask for.
const maxIdle = 2 * time.Hour

// siteCommand is one row per SITE command (RFC 959 4.1.3). What a client may ask before its login stands elsewhere.
type siteCommand struct {
	run  func(*session, context.Context, string) (wire.Reply, error)
	arg  argKind
	help string
}

// siteTable makes the table. It belongs to the server, since SITE HELP reads it.
func siteTable() map[string]*siteCommand {
	return map[string]*siteCommand{
		"HELP":    {run: (*session).siteHelp, help: "HELP"},
		"IDLE":    {run: (*session).siteIdle, help: "IDLE [seconds]"},
		"CHMOD":   {run: (*session).siteChmod, arg: needed, help: "CHMOD mode path"},
		"UMASK":   {run: (*session).siteUmask, help: "UMASK [mask]"},
		"NAMEFMT": {run: (*session).siteNamefmt, help: "NAMEFMT [0|1]"},
		"MKDIR":   {run: (*session).siteMkdir, arg: needed, help: "MKDIR path"},
		"RMDIR":   {run: (*session).rmd, arg: needed, help: "RMDIR path"},
	}
}

// site answers an unknown command with one line that is no reason to give up: z/OS and IBM i send theirs before each PUT.
func (s *session) site(ctx context.Context, arg string) (wire.Reply, error) {
	verb, rest, _ := strings.Cut(strings.TrimLeft(arg, " "), " ")
	row := s.srv.site[strings.ToUpper(verb)]
	switch {
	case row == nil:
		return reply(502, "Unknown SITE command; see SITE HELP"), nil
	case row.arg == needed && rest == "":
		return reply(501, "Syntax: SITE "+row.help), nil
	}
	return row.run(s, ctx, rest)
}

func (s *session) siteHelp(context.Context, string) (wire.Reply, error) {
	lines := make([]string, 0, len(s.srv.site))
	for _, row := range s.srv.site {
		lines = append(lines, "SITE "+row.help)
	}
	sort.Strings(lines)
	return reply(214, append(append([]string{"SITE commands:"}, lines...), "End")...), nil
}

func (s *session) siteIdle(_ context.Context, arg string) (wire.Reply, error) {
	if strings.TrimSpace(arg) != "" {
		n, err := wire.Number(arg)
		if err != nil {
			return wire.Reply{}, err
		}
		if n < 1 || n > int64(maxIdle/time.Second) {
			return reply(501, fmt.Sprintf("The idle time is 1 to %d seconds", int64(maxIdle/time.Second))), nil
		}
		s.idle = time.Duration(n) * time.Second
	}
	return reply(200, fmt.Sprintf("The idle time is %d seconds", int64(s.idle/time.Second))), nil
}

// siteChmod accepts a mode for what exists, and forgets it: objects have none, and the rights of a user say what can be done.
// Clients send it after each upload and give up when it fails.
func (s *session) siteChmod(ctx context.Context, arg string) (wire.Reply, error) {
	mode, name, _ := strings.Cut(arg, " ")
	if name == "" || strings.Trim(mode, "01234567") != "" || len(mode) > 4 {
		return reply(501, "Syntax: SITE "+s.srv.site["CHMOD"].help), nil
	}
	if _, err := s.account.FS.Stat(ctx, s.path(name)); err != nil && !hidden(err) {
		return wire.Reply{}, err
	}
	return reply(200, "Noted; files have no mode here"), nil
}

func (s *session) siteUmask(_ context.Context, arg string) (wire.Reply, error) {
	if arg = strings.TrimSpace(arg); strings.Trim(arg, "01234567") != "" || len(arg) > 4 {
		return wire.Reply{}, wire.ErrArgument
	}
	return reply(200, "The mask is 022"), nil
}

// siteNamefmt is how IBM i clients ask for path names (IBM i, SITE NAMEFMT): format 1 is what there is.
func (s *session) siteNamefmt(_ context.Context, arg string) (wire.Reply, error) {
	switch strings.TrimSpace(arg) {
	case "", "0", "1":
		return reply(200, "Names are in format 1"), nil
	}
	return wire.Reply{}, wire.ErrArgument
}

func (s *session) siteMkdir(ctx context.Context, arg string) (wire.Reply, error) {
	return s.mkd(ctx, arg)
}
