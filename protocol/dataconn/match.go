package dataconn

import (
	"context"
	"crypto/fips140"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"sluice/backend/link/rawio"
)

// accept takes connections on one port until the listener is closed.
func (p *Passive) accept(pt *port) {
	pause := time.Duration(0)
	for {
		conn, err := pt.listener.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: that passes when connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			p.cfg.Logger.Warn("accept on a passive port failed", "port", pt.number, "error", err)
			select {
			case <-time.After(pause):
			case <-p.ctx.Done():
			}
			continue
		}
		pause = 0
		remote := address(conn)
		if !p.admit(remote) {
			p.reject(conn, "too many")
			continue
		}
		p.wg.Go(func() {
			defer p.settle(remote)
			if reason := p.match(pt, conn); reason != "" {
				p.reject(conn, reason)
			}
		})
	}
}

// admit counts a connection in, unless there are too many without a session already; settle counts it out.
func (p *Passive) admit(remote netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unmatched >= maxUnmatched || p.from[remote] >= maxUnmatched/2 {
		return false
	}
	p.unmatched++
	p.from[remote]++
	return true
}

func (p *Passive) settle(remote netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unmatched--
	if p.from[remote]--; p.from[remote] == 0 {
		delete(p.from, remote)
	}
}

func (p *Passive) reject(conn net.Conn, reason string) {
	remote := address(conn)
	abort(conn)
	p.cfg.Logger.Info("data connection rejected", "remote", remote, "reason", reason)
	if p.cfg.Rejected != nil {
		p.cfg.Rejected(remote, reason)
	}
}

func address(conn net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// match finds the session of a new connection and hands it over once its handshake is done. Until then the session's place
// stays pending: whoever fails on the way does the owner no harm. A non-empty result is why the connection must be closed.
func (p *Passive) match(pt *port, conn net.Conn) (reason string) {
	raw := &rawConn{Conn: rawio.Conn(conn)}
	remote := address(conn)
	plain, known := p.byAddress(pt, remote)
	switch {
	case plain != nil:
		if !p.finish(plain, &Conn{raw: raw}, nil) {
			return "too late"
		}
		return ""
	case !known && !p.ticketsHelp(pt):
		return "stranger"
	}

	// A client may connect at once and begin TLS only when it has read the 150 reply. It may be silent for as long as
	// something is pending for its address; a stranger, who may have a ticket, for less.
	stop := context.AfterFunc(p.ctx, func() { _ = conn.Close() })
	defer stop()
	first := make([]byte, 1)
	if err := p.firstByte(pt, raw, remote, first); err != nil {
		return "silent"
	}
	deadline := time.Now().Add(p.cfg.HandshakeTimeout)
	_ = conn.SetDeadline(deadline)
	read, h, err := readHello(io.MultiReader(&onceReader{first}, conn))
	if err != nil {
		return "no TLS"
	}
	raw.in = read

	e, ticket, reason := p.byHello(pt, remote, h.tickets)
	if e == nil {
		return reason
	}
	ctx, cancel := context.WithDeadline(e.ctx, deadline)
	defer cancel()
	c, err := handshake(ctx, raw, e.session.dataTLS(ticket, ticket && h.x25519 && !fips140.Enabled()))
	if err != nil {
		return "handshake failed"
	}
	if err := e.session.checkPeer(c.tls.ConnectionState()); err != nil {
		return "other client certificate"
	}
	if !c.resumed {
		if reason := p.unresumed(e, remote); reason != "" {
			return reason
		}
	}
	_ = conn.SetDeadline(time.Time{})
	if !p.finish(e, c, nil) {
		return "too late"
	}
	return ""
}

// onceReader reads p once.
type onceReader struct{ p []byte }

func (r *onceReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}

// firstByte reads one byte, as long as something is pending for the address, or once for Config.HandshakeTimeout.
func (p *Passive) firstByte(pt *port, conn net.Conn, remote netip.Addr, b []byte) error {
	for {
		_ = conn.SetReadDeadline(time.Now().Add(p.cfg.HandshakeTimeout))
		_, err := io.ReadFull(conn, b)
		if err == nil {
			return nil
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
		if _, known := p.byAddress(pt, remote); !known {
			return err
		}
	}
}

// byAddress looks for what is pending on a port for a client address: a connection in clear, which is matched by that
// alone, or any.
func (p *Passive) byAddress(pt *port, remote netip.Addr) (plain *Expected, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range pt.pending {
		if e.session.remote == remote || p.cfg.Match == MatchOff {
			known = true
			if !e.protected {
				return e, true
			}
		}
	}
	return nil, known
}

// ticketsHelp reports whether a connection from an unknown address may still prove that it belongs to somebody.
func (p *Passive) ticketsHelp(pt *port) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Match != MatchIP && p.cfg.Match != MatchOff && len(pt.pending) > 0
}

// byHello chooses among what is pending on a port: the session that a ticket names, else the one whose client has the
// address. A ticket of another living session is refused outright, but that of a family: it stands for any session of that family.
func (p *Passive) byHello(pt *port, remote netip.Addr, tickets [][]byte) (e *Expected, ticket bool, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var named *Session // one of a family
	for _, t := range tickets {
		if len(t) <= len(id{}) {
			continue
		}
		s := p.sessions[id(t[:len(id{})])]
		if s == nil {
			continue // of a session that has ended, or of another server
		}
		if p.cfg.Match == MatchAuto && s.shared.Load() && s.remote == remote {
			named = s
			continue
		}
		for _, e := range pt.pending {
			if e.session == s {
				return e, true, ""
			}
		}
		if p.cfg.Match != MatchIP && p.cfg.Match != MatchOff {
			return nil, false, "ticket of another session"
		}
	}
	var mine []*Expected
	for _, e := range pt.pending {
		switch {
		case p.cfg.Match != MatchOff && e.session.remote != remote:
		case named != nil && e.session.family != named.family:
		case e.alone():
			return e, e.session == named, "" // conflicts keeps it the only one
		default:
			mine = append(mine, e)
		}
	}
	switch {
	case len(mine) == 0 && named != nil:
		return nil, false, "ticket of another session"
	case len(mine) == 0:
		return nil, false, "stranger"
	case len(mine) > 1:
		return nil, false, "ambiguous"
	}
	return mine[0], false, ""
}

// unresumed judges a connection that did a full handshake.
func (p *Passive) unresumed(e *Expected, remote netip.Addr) (reason string) {
	switch {
	case p.cfg.Match == MatchOff:
	case e.session.remote != remote:
		return "stranger"
	case p.cfg.Match == MatchRequire, p.cfg.Match == MatchAdaptive && e.session.resumed.Load():
		// Its own client has come and cannot do what is asked of it: say so at once rather than let it wait.
		p.finish(e, nil, ErrNotResumed)
		return "not resumed"
	}
	return ""
}
