package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sluice/protocol/listing"
	"sluice/protocol/wire"
)

// setType is RFC 959 3.1.1. The only local byte is the octet.
func (s *session) setType(_ context.Context, arg string) (wire.Reply, error) {
	switch strings.ToUpper(strings.Join(strings.Fields(arg), " ")) {
	case "A", "A N":
		s.ascii = true
		return reply(200, "Type is ASCII"), nil
	case "I", "L 8":
		s.ascii = false
		return reply(200, "Type is binary"), nil
	case "A T", "A C", "E", "E N", "E T", "E C":
		return reply(504, "Use TYPE A or TYPE I"), nil
	}
	if strings.HasPrefix(strings.ToUpper(arg), "L ") {
		return reply(504, "Use TYPE L 8"), nil
	}
	return wire.Reply{}, wire.ErrArgument
}

func (s *session) setMode(_ context.Context, arg string) (wire.Reply, error) {
	return only(arg, "S", "BCZ", "Use MODE S")
}

func (s *session) setStru(_ context.Context, arg string) (wire.Reply, error) {
	return only(arg, "F", "RP", "Use STRU F")
}

// only accepts one letter; the letters in known are understood and refused.
func only(arg, accepted, known, hint string) (wire.Reply, error) {
	arg = strings.ToUpper(strings.TrimSpace(arg))
	switch {
	case arg == accepted:
		return reply(200, "OK"), nil
	case len(arg) == 1 && strings.Contains(known, arg):
		return reply(504, hint), nil
	}
	return wire.Reply{}, wire.ErrArgument
}

// restart is RFC 3659 5. Whether the file reaches that far shows when it is used.
func (s *session) restart(_ context.Context, arg string) (wire.Reply, error) {
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
	s.announced = n
	return reply(200, "Noted; nothing has to be allocated"), nil
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
	if s.expected != nil {
		s.expected.Close()
		s.expected = nil
	}
}

// opts is RFC 2389 4.
func (s *session) opts(_ context.Context, arg string) (wire.Reply, error) {
	verb, option, _ := strings.Cut(arg, " ")
	option = strings.TrimSpace(option)
	switch strings.ToUpper(verb) {
	case "UTF8", "UTF-8":
		switch strings.ToUpper(option) {
		case "", "ON", "NLST":
			return reply(200, "UTF8 is always on"), nil
		case "OFF":
			return reply(504, "UTF8 is always on"), nil
		}
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
