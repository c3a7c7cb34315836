package protocol

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"sluice/protocol/wire"
)

// auth upgrades the control connection (RFC 4217 4). What the client sent behind the command in clear is never obeyed: it
// ends the session.
func (s *session) auth(ctx context.Context, arg string) (wire.Reply, error) {
	mechanism := strings.ToUpper(strings.TrimSpace(arg))
	implied := mechanism == "SSL" || mechanism == "TLS-P" // the old drafts protect data connections as well
	switch {
	case s.secure:
		return reply(503, "TLS is in use already"), nil
	case s.srv.cfg.TLS == nil:
		return reply(431, "No certificate is configured"), nil
	case mechanism != "TLS" && mechanism != "TLS-C" && !implied:
		return reply(504, "Unknown mechanism; use AUTH TLS"), nil
	case s.in.Buffered() > 0:
		s.closing = true
		return reply(503, "Data behind AUTH; closing the connection"), nil
	}
	s.reset(implied)
	s.reply(reply(234, "Begin TLS"))
	s.flush()
	if err := s.startTLS(ctx); err != nil {
		s.log.InfoContext(ctx, "TLS handshake failed", "error", err)
		s.closing = true
	}
	return wire.Reply{}, nil
}

// user refuses a name in clear before a password can follow it, and answers the same whether or not the user exists.
func (s *session) user(ctx context.Context, arg string) (wire.Reply, error) {
	switch {
	case s.account != nil:
		return reply(503, "You are logged in already"), nil
	case !s.protected() && !s.srv.cfg.AllowPlain:
		return reply(530, "TLS is required: send AUTH TLS first"), nil
	}
	s.name = arg
	if s.cert != nil {
		rep, err := s.login(ctx, nil)
		if !errors.Is(err, ErrDenied) {
			return rep, err
		}
	}
	return reply(331, "Password required"), nil
}

func (s *session) pass(ctx context.Context, arg string) (wire.Reply, error) {
	switch {
	case s.account != nil:
		return reply(202, "You are logged in already"), nil
	case s.name == "":
		return reply(503, "Send USER first"), nil
	}
	rep, err := s.login(ctx, []byte(arg))
	if errors.Is(err, ErrDenied) {
		s.name = ""
		if s.denied++; s.denied >= maxBadPasswords {
			s.closing = true
			return reply(421, "Too many failed logins; closing the connection"), nil
		}
		return reply(530, "Login incorrect"), nil
	}
	return rep, err
}

// login asks the driver. The error is ErrDenied or nil.
func (s *session) login(ctx context.Context, password []byte) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.LoginTimeout)
	defer cancel()
	account, err := s.srv.cfg.Driver.Login(ctx, Credentials{
		User: s.name, Password: password, Certificate: s.cert, Remote: s.remote, Local: s.local, Host: s.host,
	})
	asked := password == nil && errors.Is(err, ErrDenied) // a certificate alone was not enough: nothing has failed yet
	if s.srv.cfg.Hooks.Login != nil && !asked {
		s.srv.cfg.Hooks.Login(s.name, s.remote.Addr(), err)
	}
	switch {
	case asked:
		return wire.Reply{}, ErrDenied
	case errors.Is(err, ErrDenied):
		s.log.InfoContext(ctx, "login denied", "user", s.name)
		return wire.Reply{}, ErrDenied
	case errors.Is(err, ErrBusy):
		s.log.InfoContext(ctx, "login refused: too many sessions", "user", s.name)
		s.closing = true
		return reply(421, "Too many sessions; try again later"), nil
	case err != nil:
		s.log.ErrorContext(ctx, "login failed", "user", s.name, "error", err)
		s.closing = true
		return reply(421, "Login is not possible now; try again later"), nil
	}
	s.account = &account
	if !s.introduced {
		s.introduced = true
		s.srv.introduce(s.remote.Addr())
	}
	s.log = s.log.With("user", account.Name)
	s.cwd = wire.Join("/", account.Home)
	if !s.utf8 { // FileZilla and Windows ask for it before they log in
		s.names = account.Names
	}
	if s.srv.cfg.Hooks.Session != nil {
		s.srv.cfg.Hooks.Session(true)
	}
	s.log.InfoContext(ctx, "logged in", "tls", s.secure)
	return reply(230, "Logged in"), nil
}

// protected reports whether the control connection is under TLS.
func (s *session) protected() bool { return s.secure && !s.cleared }

// noTLS refuses what needs a protected control connection.
func (s *session) noTLS() wire.Reply {
	if s.cleared {
		return reply(503, "The control connection has been cleared")
	}
	return reply(503, "Send AUTH TLS first")
}

// pbsz is a formality under TLS (RFC 4217 9); some clients look for the text.
func (s *session) pbsz(_ context.Context, arg string) (wire.Reply, error) {
	if !s.protected() {
		return s.noTLS(), nil
	}
	if _, err := strconv.ParseUint(strings.TrimSpace(arg), 10, 32); err != nil {
		return wire.Reply{}, wire.ErrArgument
	}
	return reply(200, "PBSZ=0"), nil
}

// prot is accepted without PBSZ too: clients exist that leave it out.
func (s *session) prot(_ context.Context, arg string) (wire.Reply, error) {
	if !s.protected() {
		return s.noTLS(), nil
	}
	protect := false
	switch strings.ToUpper(strings.TrimSpace(arg)) {
	case "P":
		protect = true
	case "C":
		if !s.srv.cfg.AllowPlain {
			return reply(534, "Data connections must be protected: use PROT P"), nil
		}
	case "S", "E":
		return reply(536, "Use PROT P"), nil
	default:
		return reply(504, "Use PROT P"), nil
	}
	if protect != s.protect {
		s.dropExpected() // it was promised the other way
	}
	s.protect = protect
	return reply(200, "Protection level set"), nil
}

func (s *session) quit(context.Context, string) (wire.Reply, error) {
	s.closing = true
	return reply(221, "Goodbye"), nil
}
