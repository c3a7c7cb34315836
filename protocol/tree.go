package protocol

import (
	"context"
	"fmt"
	"strings"

	"sluice/backend"
	"sluice/backend/vfs"
	"sluice/protocol/listing"
	"sluice/protocol/wire"
)

// path is the absolute name that an argument means.
func (s *session) path(arg string) string { return wire.Join(s.cwd, s.names.Decode(arg)) }

// quoted is a name as a reply shows it.
func (s *session) quoted(name string) string { return wire.Quote(s.names.Encode(name)) }

func (s *session) pwd(context.Context, string) (wire.Reply, error) {
	return reply(257, s.quoted(s.cwd)+" is the current directory"), nil
}

// cwdTo changes the directory; without an argument, or with "~", to where the session began.
func (s *session) cwdTo(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if arg == "" || arg == "~" {
		name = wire.Join("/", s.account.Home)
	}
	info, err := s.account.FS.Stat(backend.AllowPartial(ctx), name)
	switch {
	case err != nil:
		return wire.Reply{}, err
	case !info.Dir:
		return wire.Reply{}, vfs.ErrNotDir
	}
	s.cwd = name
	return reply(250, "Directory changed"), nil
}

func (s *session) cdup(ctx context.Context, _ string) (wire.Reply, error) { return s.cwdTo(ctx, "..") }

func (s *session) mkd(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if name == "/" {
		return wire.Reply{}, vfs.ErrExist
	}
	if err := s.account.FS.Mkdir(ctx, name); err != nil {
		return wire.Reply{}, err
	}
	return reply(257, s.quoted(name)+" created"), nil
}

func (s *session) rmd(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if name == "/" {
		return wire.Reply{}, fmt.Errorf("the root: %w", backend.ErrPermission)
	}
	if err := s.account.FS.Rmdir(ctx, name); err != nil {
		return wire.Reply{}, err
	}
	return reply(250, "Directory removed"), nil
}

func (s *session) dele(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	if name == "/" {
		return wire.Reply{}, vfs.ErrIsDir
	}
	if err := s.account.FS.Remove(ctx, name); err != nil {
		return wire.Reply{}, err
	}
	return reply(250, "File deleted"), nil
}

// size answers with the stored size for every TYPE: clients ask before they have set one (RFC 3659 4).
func (s *session) size(ctx context.Context, arg string) (wire.Reply, error) {
	info, err := s.file(backend.AllowPartial(ctx), arg)
	if err != nil {
		return wire.Reply{}, err
	}
	return reply(213, fmt.Sprint(info.Size)), nil
}

func (s *session) file(ctx context.Context, arg string) (vfs.Info, error) {
	info, err := s.account.FS.Stat(ctx, s.path(arg))
	if err == nil && info.Dir {
		err = vfs.ErrIsDir
	}
	return info, err
}

// mlst is RFC 3659 7.2. The name in the reply is the absolute one.
func (s *session) mlst(ctx context.Context, arg string) (wire.Reply, error) {
	name := s.path(arg)
	info, err := s.account.FS.Stat(ctx, name)
	if err != nil {
		return wire.Reply{}, err
	}
	return reply(250, "Facts:", string(listing.AppendFacts(nil, info, strings.TrimSuffix(name, info.Name), s.names.Encode(name), s.facts)), "End"), nil
}
