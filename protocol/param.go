package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sluice/backend/vfs"
	"sluice/protocol/codec"
	"sluice/protocol/listing"
	"sluice/protocol/wire"
)

// setType is RFC 959 3.1.1. The only local byte is the octet, the only format control is non-print.
func (s *session) setType(_ context.Context, arg string) (wire.Reply, error) {
	switch strings.ToUpper(strings.Join(strings.Fields(arg), " ")) {
	case "A", "A N":
		s.form.Type = codec.ASCII
		return reply(200, "Type is ASCII"), nil
	case "I", "L 8":
		s.form.Type = codec.Image
		return reply(200, "Type is binary"), nil
	case "E", "E N":
		if !s.mainframe() {
			return reply(504, "Use TYPE A or TYPE I"), nil
		}
		s.form.Type, s.form.Page = codec.EBCDIC, s.account.Mainframe
		return reply(200, "Type is EBCDIC"), nil
	case "A T", "A C", "E T", "E C":
		return reply(504, "Use TYPE A or TYPE I"), nil
	}
	if strings.HasPrefix(strings.ToUpper(arg), "L ") {
		return reply(504, "Use TYPE L 8"), nil
	}
	return wire.Reply{}, wire.ErrArgument
}

// mainframe reports whether the user's profile has what mainframes use.
func (s *session) mainframe() bool { return s.account != nil && s.account.Mainframe != nil }

func (s *session) setMode(_ context.Context, arg string) (wire.Reply, error) {
	switch strings.ToUpper(strings.TrimSpace(arg)) {
	case "S":
		s.form.Mode = codec.Stream
	case "Z":
		if s.srv.cfg.NoDeflate {
			return reply(504, "Use MODE S"), nil
		}
		s.form.Mode = codec.Deflate
	case "B":
		if !s.mainframe() {
			return reply(504, "Use MODE S"), nil
		}
		s.form.Mode = codec.Block
	case "C":
		return reply(504, "Use MODE S"), nil
	default:
		return wire.Reply{}, wire.ErrArgument
	}
	return reply(200, "OK"), nil
}

func (s *session) setStru(_ context.Context, arg string) (wire.Reply, error) {
	switch strings.ToUpper(strings.TrimSpace(arg)) {
	case "F":
		s.form.Record = false
	case "R":
		if !s.mainframe() {
			return reply(504, "Use STRU F"), nil
		}
		s.form.Record = true
	case "P":
		return reply(504, "Use STRU F"), nil
	default:
		return wire.Reply{}, wire.ErrArgument
	}
	return reply(200, "OK"), nil
}

// restart is RFC 3659 5. Whether the file reaches that far shows when it is used.
func (s *session) restart(_ context.Context, arg string) (wire.Reply, error) {
	s.rest, s.limit = 0, nil // an earlier one is not meant any more, even if this one is refused
	n, err := wire.Number(arg)
	if err != nil {
		return wire.Reply{}, err
	}
	s.rest = n
	return reply(350, fmt.Sprintf("Restarting at %d; send STOR or RETR", n)), nil
}

// allo announces the size of the next upload (RFC 959 4.1.3); the record size behind R means nothing here.
func (s *session) allo(_ context.Context, arg string) (wire.Reply, error) {
	size, _, _ := strings.Cut(strings.TrimSpace(arg), " ")
	n, err := wire.Number(size)
	if err != nil {
		return wire.Reply{}, err
	}
	if used, limit := s.quota(); limit > 0 && n > limit-used {
		return wire.Reply{}, vfs.ErrQuota
	}
	s.announced = n
	return reply(202, "Noted; nothing has to be allocated"), nil
}

// pasv is RFC 959 4.1.2. The reply keeps the parentheses that clients look for.
func (s *session) pasv(ctx context.Context, _ string) (wire.Reply, error) {
	if s.epsvAll {
		return reply(503, "EPSV ALL was sent; use EPSV"), nil
	}
	var addr netip.Addr
	if s.srv.cfg.Address != nil {
		addr = s.srv.cfg.Address(s.local, s.remote).Unmap()
	}
	if !addr.IsValid() {
		addr = s.local.Addr()
	}
	if !addr.Is4() {
		return reply(522, "There is no IPv4 address here; use EPSV (2)"), nil
	}
	port, err := s.passive(ctx)
	if err != nil {
		return wire.Reply{}, err
	}
	b := wire.AppendHostPort([]byte("Entering Passive Mode ("), netip.AddrPortFrom(addr, port))
	return reply(227, string(b)+")."), nil
}

// epsv is RFC 2428 3.
func (s *session) epsv(ctx context.Context, arg string) (wire.Reply, error) {
	family := "1"
	if s.local.Addr().Is6() {
		family = "2"
	}
	switch arg = strings.ToUpper(strings.TrimSpace(arg)); arg {
	case "ALL":
		s.epsvAll = true
		return reply(200, "EPSV ALL accepted"), nil
	case "", family:
	default:
		if _, err := wire.Number(arg); err != nil {
			return wire.Reply{}, err
		}
		return reply(522, "Network protocol not supported, use ("+family+")"), nil
	}
	port, err := s.passive(ctx)
	if err != nil {
		return wire.Reply{}, err
	}
	return reply(229, fmt.Sprintf("Entering Extended Passive Mode (|||%d|)", port)), nil
}

// passive reserves a port for the next data connection, in place of an earlier one.
func (s *session) passive(ctx context.Context) (uint16, error) {
	s.dropExpected()
	s.flush() // finding a port may take a moment
	e, err := s.srv.cfg.Passive.Expect(ctx, s.data, s.protect)
	if err != nil {
		return 0, err
	}
	s.expected = e
	return uint16(e.Port()), nil
}

func (s *session) dropExpected() {
	for _, e := range []dataSource{s.expected, s.unused} {
		if e != nil {
			e.Close()
		}
	}
	s.expected, s.unused = nil, nil
}

// opts is RFC 2389 4.
func (s *session) opts(_ context.Context, arg string) (wire.Reply, error) {
	verb, option, _ := strings.Cut(arg, " ")
	option = strings.TrimSpace(option)
	switch strings.ToUpper(verb) {
	case "UTF8", "UTF-8":
		return s.optsUTF8(option), nil
	case "HASH":
		return s.optsHash(option), nil
	case "MODE":
		return s.optsMode(option)
	case "MLST":
		s.facts = listing.ParseFacts(option)
		text := "MLST OPTS"
		if s.facts != 0 {
			text += " " + s.facts.String()
		}
		return reply(200, text), nil
	default:
		if s.srv.commands[strings.ToUpper(verb)] != nil {
			return reply(501, "That command has no options"), nil
		}
	}
	return reply(501, "Unknown option"), nil
}

// optsUTF8 chooses between UTF-8 and the character set of the user's profile for names (draft-ietf-ftpext-utf-8-option-00).
func (s *session) optsUTF8(option string) wire.Reply {
	own := wire.Charset{}
	if s.account != nil {
		own = s.account.Names
	}
	switch strings.ToUpper(option) {
	case "", "ON", "NLST":
		s.names, s.utf8 = wire.Charset{}, true
		return reply(200, "Names are in UTF-8")
	case "OFF":
		if own == (wire.Charset{}) {
			return reply(504, "Names are always in UTF-8")
		}
		s.names, s.utf8 = own, false
		return reply(200, "Names are in the character set of your profile")
	}
	return reply(501, "Syntax: OPTS UTF8 ON|OFF")
}

// optsMode sets the level of MODE Z (draft-preston-ftpext-deflate-04 3.1.1). The engine is the only one there is.
func (s *session) optsMode(option string) (wire.Reply, error) {
	f := strings.Fields(strings.ToUpper(option))
	if len(f) == 0 || f[0] != "Z" || s.srv.cfg.NoDeflate || len(f)%2 == 0 {
		return wire.Reply{}, wire.ErrArgument
	}
	level := s.form.Level
	for i := 1; i < len(f); i += 2 {
		n, err := wire.Number(f[i+1])
		switch {
		case err != nil:
			return wire.Reply{}, err
		case f[i] == "LEVEL" && n <= 9:
			level = int(n)
		case f[i] == "ENGINE" && n == 0, f[i] == "METHOD" && n == 8:
		default:
			return reply(501, "LEVEL is 0 to 9, ENGINE 0"), nil
		}
	}
	s.form.Level = level
	return reply(200, fmt.Sprintf("MODE Z LEVEL set to %d", level)), nil
}

// noData is why a transfer cannot be begun as the session stands; a zero reply if it can.
func (s *session) noData() wire.Reply {
	switch {
	case !s.protect && !s.srv.cfg.AllowPlain:
		return reply(522, "Data connections must be protected: send PBSZ 0 and PROT P")
	case s.expected == nil:
		return reply(425, "Send PASV or EPSV first")
	}
	return wire.Reply{}
}

// port is RFC 959 4.1.2: active mode, to the client's own address alone.
func (s *session) port(_ context.Context, arg string) (wire.Reply, error) {
	to, err := wire.HostPort(arg)
	if err != nil {
		return wire.Reply{}, err
	}
	return s.active(to)
}

// eprt is RFC 2428 2.
func (s *session) eprt(_ context.Context, arg string) (wire.Reply, error) {
	to, err := wire.ExtendedHostPort(arg)
	if errors.Is(err, wire.ErrFamily) {
		return reply(522, "Network protocol not supported, use (1,2)"), nil
	}
	if err != nil {
		return wire.Reply{}, err
	}
	return s.active(to)
}

// active refuses every address but the client's own, and the ports of servers, so that nobody can be attacked through this
// server (RFC 2577 3).
func (s *session) active(to netip.AddrPort) (wire.Reply, error) {
	switch {
	case s.epsvAll:
		return reply(503, "EPSV ALL was sent; use EPSV"), nil
	case to.Addr() != s.remote.Addr():
		return reply(501, "That is not your address"), nil
	case to.Port() < 1024:
		return reply(501, "Ports below 1024 are not connected to"), nil
	case s.srv.cfg.Active == nil:
		return reply(504, "Active mode is off; use PASV or EPSV"), nil
	}
	s.dropExpected()
	s.expected = s.srv.cfg.Active.Expect(s.data, s.local.Addr(), to, s.protect)
	return reply(200, "Ready to connect"), nil
}

// pret announces the next transfer, for servers that choose a data connection by it. This one does not.
func (s *session) pret(context.Context, string) (wire.Reply, error) { return reply(200, "OK"), nil }
