package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/codec"
	"sluice/protocol/dataconn"
	"sluice/protocol/listing"
	"sluice/protocol/wire"
)

// listBuffer is how much of a listing leaves in one write: a record of TLS. Clients see the first page of a slow store before the next has come.
const listBuffer = 16 << 10

// listPath is the path in the argument of LIST, NLST and STAT: what stands behind options as /bin/ls knows them, which clients
// send although no RFC has them. They mean nothing here. A file whose name begins with "-" is "./-name".
func listPath(arg string) string {
	for strings.HasPrefix(arg, "-") {
		_, arg, _ = strings.Cut(arg, " ")
		arg = strings.TrimLeft(arg, " ")
	}
	return arg
}

// list is RFC 959 4.1.3.
func (s *session) list(t *transfer, arg string) job {
	now, names := time.Now(), s.names
	return s.enumerate(t, names.Decode(listPath(arg)), func(b []byte, _ string, e vfs.Info) []byte {
		e.Name = names.Encode(e.Name)
		return listing.AppendLong(b, e, now)
	})
}

// nlst answers with names that can be used as arguments as they are (RFC 1123 4.1.2.7).
func (s *session) nlst(t *transfer, arg string) job {
	names := s.names
	return s.enumerate(t, names.Decode(listPath(arg)), func(b []byte, shown string, e vfs.Info) []byte {
		return append(b, names.Encode(shown+e.Name)...)
	})
}

// mlsd is RFC 3659 7.2: it takes a directory alone.
func (s *session) mlsd(t *transfer, arg string) job {
	facts, names := s.facts, s.names
	name := s.path(arg)
	dir := strings.TrimSuffix(name, "/") + "/"
	do := s.enumerate(t, "", func(b []byte, _ string, e vfs.Info) []byte {
		return listing.AppendFacts(b, e, dir, names.Encode(e.Name), facts)
	})
	t.name = name
	return func(ctx context.Context) (wire.Reply, error) {
		rep, err := do(ctx)
		if errors.Is(err, vfs.ErrNotDir) {
			return reply(501, "Not a directory; use MLST"), nil
		}
		return rep, err
	}
}

// format appends one entry to a listing. shown is what stands in front of its name, relative to what was asked.
type format func(b []byte, shown string, e vfs.Info) []byte

// enumerate sends the entries of a directory, a single file, or what matches a pattern.
func (s *session) enumerate(t *transfer, arg string, line format) job {
	cwd := s.cwd
	t.name = wire.Join(cwd, arg)
	return func(ctx context.Context) (wire.Reply, error) {
		found, err := t.find(ctx, cwd, arg)
		if err != nil {
			return wire.Reply{}, err
		}
		out := lines{transfer: t}
		if err := out.run(ctx, found, line); err != nil {
			if out.conn != nil {
				out.conn.Abort() // never a listing that only looks whole
			}
			return wire.Reply{}, err
		}
		return reply(226, "Listing complete"), t.end(out.conn)
	}
}

// lines are a listing on its way to the client.
type lines struct {
	*transfer
	conn    *dataconn.Conn // nil until there is something to say
	encoder io.WriteCloser
	count   counter // writes to encoder
	eol     string
	b       []byte // waits to be written
}

// run writes what was found. The first entry comes before the 150: an error about the directory needs no data connection.
func (l *lines) run(ctx context.Context, found found, line format) error {
	for e, err := range found.entries {
		if errors.Is(err, vfs.ErrNotDir) && l.verb != "MLSD" && l.conn == nil {
			found.shown = found.above
			e, err = l.fs.Stat(ctx, l.name)
		}
		if err == nil {
			err = l.open(ctx)
		}
		if err == nil {
			l.b = append(line(l.b, found.shown, e), l.eol...)
			err = l.write(listBuffer)
		}
		if err != nil {
			return err
		}
	}
	if l.conn == nil && found.pattern {
		return fmt.Errorf("nothing matches %s: %w", l.name, backend.ErrNotExist)
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	if err := l.write(max(1, len(l.b))); err != nil {
		return err
	}
	return l.encoder.Close()
}

// open says 150, unless it has.
func (l *lines) open(ctx context.Context) (err error) {
	if l.conn != nil {
		return nil
	}
	if l.conn, err = l.connect(ctx, "Here comes the listing"); err != nil {
		return err
	}
	var form codec.Form
	form, l.eol = l.form.Listing()
	l.encoder = form.Encode(l.conn, 0)
	l.count = counter{l.encoder, &l.bytes}
	return nil
}

// write writes as many pieces of size bytes as there are.
func (l *lines) write(size int) error {
	for len(l.b) >= size {
		if _, err := l.count.Write(l.b[:size]); err != nil {
			return err
		}
		l.b = l.b[:copy(l.b, l.b[size:])]
	}
	return nil
}

// found is what a listing is about.
type found struct {
	shown   string // in front of each name
	above   string // in front of the last segment of what was asked
	entries iter.Seq2[vfs.Info, error]
	pattern bool
}

func (t *transfer) find(ctx context.Context, cwd, arg string) (found, error) {
	asked := strings.TrimRight(arg, "/")
	above := asked[:strings.LastIndexByte(asked, '/')+1]
	pattern, err := t.isPattern(ctx, asked)
	switch {
	case err != nil:
		return found{}, err
	case pattern:
		top, base := cwd, ""
		if strings.HasPrefix(asked, "/") {
			top, base = "/", "/"
		}
		left := maxGlob
		entries := t.glob(ctx, top, base, strings.Split(strings.Trim(asked, "/"), "/"), &left)
		return found{entries: entries, pattern: true}, nil
	}
	shown := ""
	if asked != "" && asked != "." {
		shown = asked + "/"
	} else if strings.HasPrefix(arg, "/") {
		shown = "/"
	}
	return found{shown: shown, above: above, entries: t.fs.ReadDir(ctx, t.name)}, nil
}

// isPattern reports whether an argument is a pattern: it looks like one, and nothing has it for a name.
func (t *transfer) isPattern(ctx context.Context, arg string) (bool, error) {
	if !strings.ContainsAny(arg, "*?[") {
		return false, nil
	}
	for seg := range strings.SplitSeq(arg, "/") {
		if _, err := path.Match(seg, ""); err != nil {
			return false, nil
		}
	}
	_, err := t.fs.Stat(backend.AllowPartial(ctx), t.name)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, backend.ErrNotExist), errors.Is(err, vfs.ErrName), errors.Is(err, vfs.ErrNotDir):
		return true, nil
	}
	return false, err
}

// maxGlob is how many entries a pattern may look at: 450 beyond.
const maxGlob = 200_000

// glob yields what matches a pattern, segment by segment, by the names that shall be shown. left counts down the entries that may
// still be looked at.
func (t *transfer) glob(ctx context.Context, dir, shown string, pattern []string, left *int) iter.Seq2[vfs.Info, error] {
	return func(yield func(vfs.Info, error) bool) {
		seg, rest := pattern[0], pattern[1:]
		if seg == "" || seg == "." || seg == ".." {
			dir = wire.Join(dir, seg)
			for e, err := range t.glob(ctx, dir, shown+seg+"/", rest, left) {
				if !yield(e, err) {
					return
				}
			}
			return
		}
		for e, err := range t.matching(ctx, dir, seg, left) {
			if err == nil && len(rest) > 0 {
				if !e.Dir {
					continue
				}
				for e, err := range t.glob(ctx, path.Join(dir, e.Name), shown+e.Name+"/", rest, left) {
					if !yield(e, err) || err != nil {
						return
					}
				}
				continue
			}
			e.Name = shown + e.Name
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// matching yields the entries of a directory whose names match a pattern of path.Match, or the one of that name.
func (t *transfer) matching(ctx context.Context, dir, pattern string, left *int) iter.Seq2[vfs.Info, error] {
	return func(yield func(vfs.Info, error) bool) {
		if !strings.ContainsAny(pattern, "*?[\\") {
			e, err := t.fs.Stat(ctx, path.Join(dir, pattern))
			if !errors.Is(err, backend.ErrNotExist) && !errors.Is(err, vfs.ErrNotDir) {
				yield(e, err)
			}
			return
		}
		for e, err := range t.fs.ReadDir(ctx, dir) {
			if *left--; *left < 0 {
				yield(vfs.Info{}, fmt.Errorf("the pattern looks at more than %d entries: %w", maxGlob, vfs.ErrBusy))
				return
			}
			if err == nil {
				if ok, _ := path.Match(pattern, e.Name); !ok {
					continue
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
