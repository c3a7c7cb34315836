package protocol

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/wire"
)

// maxIdle is the longest idle time that a client may ask for.
const maxIdle = 2 * time.Hour

// siteTable makes the rows of the SITE commands (RFC 959 4.1.3). It belongs to the server, since SITE HELP reads it.
func siteTable() map[string]*command {
	return map[string]*command{
		"HELP":    {run: (*session).siteHelp, help: "SITE HELP"},
		"IDLE":    {run: (*session).siteIdle, help: "SITE IDLE [seconds]"},
		"CHMOD":   {run: (*session).siteChmod, arg: needed, help: "SITE CHMOD mode path"},
		"UMASK":   {run: (*session).siteUmask, help: "SITE UMASK [mask]"},
		"NAMEFMT": {run: (*session).siteNamefmt, help: "SITE NAMEFMT [0|1]"},
		"MKDIR":   {run: (*session).siteMkdir, arg: needed, feat: "SITE MKDIR", help: "SITE MKDIR path"},
		"RMDIR":   {run: (*session).rmd, arg: needed, feat: "SITE RMDIR", help: "SITE RMDIR path"},
		"UTIME":   {run: (*session).siteUtime, arg: needed, feat: "SITE UTIME", help: "SITE UTIME YYYYMMDDhhmm[ss] path"},
		"COPY":    {start: (*session).siteCopy, local: true, arg: needed, feat: "SITE COPY", help: "SITE COPY from to"},
		"CPFR":    {run: (*session).siteCpfr, arg: needed, help: "SITE CPFR path"},
		"CPTO":    {start: (*session).siteCpto, local: true, arg: needed, help: "SITE CPTO path"},
		"RESTORE": {run: (*session).siteRestore, arg: needed, feat: "SITE RESTORE", help: "SITE RESTORE path [days]"},
		"QUOTA":   {run: (*session).siteQuota, arg: none, help: "SITE QUOTA"},
	}
}

// siteRow finds the row of a SITE command.
func (s *session) siteRow(arg string) (*command, string) {
	verb, rest, _ := strings.Cut(strings.TrimLeft(arg, " "), " ")
	return s.srv.site[strings.ToUpper(verb)], rest
}

// unknownSite is one line that is no reason to give up: z/OS sends the attributes of a data set before each PUT, IBM i may.
func (s *session) unknownSite() wire.Reply {
	if s.account.Mainframe != nil {
		return reply(200, "Noted")
	}
	return reply(502, "Unknown SITE command; see SITE HELP")
}

func (s *session) siteHelp(context.Context, string) (wire.Reply, error) {
	lines := make([]string, 0, len(s.srv.site))
	for _, row := range s.srv.site {
		lines = append(lines, row.help)
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

// siteMkdir makes a directory and those missing above it, and is content if it is there: so lftp's mkdir -p takes it where FEAT
// names it (ProFTPD, mod_site_misc).
func (s *session) siteMkdir(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		there := func() bool {
			info, err := s.account.FS.Stat(backend.AllowPartial(ctx), name[:i])
			return err == nil && info.Dir
		}
		if there() {
			continue
		}
		if err := s.account.FS.Mkdir(ctx, name[:i]); err != nil && !there() { // another session may have made it meanwhile
			return wire.Reply{}, err
		}
	}
	return reply(257, s.quoted(name)+" created"), nil
}

// siteChmod accepts a mode for what exists, and forgets it: objects have none, and the rights of a user say what can be done.
// Clients send it after each upload and give up when it fails.
func (s *session) siteChmod(ctx context.Context, arg string) (wire.Reply, error) {
	mode, name, _ := strings.Cut(arg, " ")
	if name == "" || strings.Trim(mode, "01234567") != "" || len(mode) > 4 {
		return reply(501, "Syntax: "+s.srv.site["CHMOD"].help), nil
	}
	if _, err := s.account.FS.Stat(backend.AllowPartial(ctx), s.path(name)); err != nil && !hidden(err) {
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

// siteUtime has two forms: a time of up to seconds, then the path; or the path, then access, modification and creation time and
// the word UTC (ProFTPD, mod_site_misc). Only the modification time is kept.
func (s *session) siteUtime(ctx context.Context, arg string) (wire.Reply, error) {
	name, when, err := utime(arg)
	if err != nil {
		return reply(501, "Syntax: "+s.srv.site["UTIME"].help), nil
	}
	if err := s.account.FS.SetTimes(ctx, s.path(name), when, time.Time{}); err != nil {
		return wire.Reply{}, err
	}
	return reply(200, "Time set"), nil
}

func utime(arg string) (name string, when time.Time, err error) {
	if rest, ok := strings.CutSuffix(arg, " UTC"); ok {
		f := strings.Split(rest, " ")
		if n := len(f) - 3; n >= 1 {
			if _, err = wire.Time(f[n]); err == nil {
				if when, err = wire.Time(f[n+1]); err == nil {
					return strings.Join(f[:n], " "), when, nil
				}
			}
		}
	}
	stamp, name, _ := strings.Cut(arg, " ")
	if len(stamp) == 12 {
		stamp += "00"
	}
	if name == "" {
		return "", time.Time{}, wire.ErrArgument
	}
	when, err = wire.Time(stamp)
	return name, when, err
}

// siteQuota tells what the user may still transfer today.
func (s *session) siteQuota(context.Context, string) (wire.Reply, error) {
	used, limit := s.quota()
	if limit == 0 {
		return reply(200, "There is no quota"), nil
	}
	return reply(200, "Quota:", fmt.Sprintf("%d of %d bytes per day are used", used, limit), fmt.Sprintf("%d bytes are left", max(0, limit-used))), nil
}

func (s *session) quota() (used, limit int64) {
	if s.account == nil || s.account.Quota == nil {
		return 0, 0
	}
	return s.account.Quota()
}

// avbl is how many bytes may still be stored (draft-peterson-streamlined-ftp-command-extensions-10 4). An object store has no
// end of its own.
func (s *session) avbl(ctx context.Context, arg string) (wire.Reply, error) {
	info, err := s.account.FS.Stat(backend.AllowPartial(ctx), s.path(arg))
	switch {
	case err != nil:
		return wire.Reply{}, err
	case !info.Dir:
		return wire.Reply{}, vfs.ErrNotDir
	}
	left := int64(math.MaxInt64)
	if used, limit := s.quota(); limit > 0 {
		left = max(0, limit-used)
	}
	return reply(213, fmt.Sprint(left)), nil
}
