package protocol

import (
	"context"
	"net/netip"
	"strings"

	"sluice/protocol/wire"
)

// host names the virtual host before USER (RFC 7151). It must agree with what the client named in its TLS handshake.
func (s *session) hostName(_ context.Context, arg string) (wire.Reply, error) {
	name := strings.ToLower(strings.TrimSpace(arg))
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(inner); !closed || err != nil || !a.Is6() {
			return wire.Reply{}, wire.ErrArgument
		}
	} else if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || len(name) > 253 {
		return wire.Reply{}, wire.ErrArgument
	}
	switch {
	case s.account != nil || s.name != "":
		return reply(503, "HOST comes before USER"), nil
	case s.sni != "" && !strings.EqualFold(s.sni, name):
		return reply(504, "TLS was begun with another host"), nil
	}
	s.host = name
	return reply(220, "Host accepted"), nil
}

// lang is RFC 2640 4.1: replies are in English.
func (s *session) lang(_ context.Context, arg string) (wire.Reply, error) {
	tag, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(arg)), "-")
	if tag != "" && tag != "en" {
		return reply(504, "Replies are in English"), nil
	}
	return reply(200, "Replies are in English"), nil
}

// client is CLNT and CSID: what the client says of itself stands in the log.
func (s *session) client(ctx context.Context, arg string) (wire.Reply, error) {
	s.log.DebugContext(ctx, "client", "software", arg)
	return reply(200, "Noted"), nil
}

// acct: nobody has accounts here (RFC 959 4.1.1).
func (s *session) acct(context.Context, string) (wire.Reply, error) {
	if s.account == nil {
		return reply(503, "Send USER and PASS"), nil
	}
	return reply(202, "No account is needed"), nil
}

// rein forgets the user and everything that was set, but for the protection of the control connection (RFC 959 4.1.1).
func (s *session) rein(context.Context, string) (wire.Reply, error) {
	s.reset(s.implicit)
	return reply(220, s.srv.cfg.Greeting), nil
}

// refused answers for commands that are known and not served.
func (s *session) refused(context.Context, string) (wire.Reply, error) {
	return reply(502, "Not served here"), nil
}
