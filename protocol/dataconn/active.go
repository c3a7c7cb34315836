package dataconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sluice/backend/link/rawio"
)

// Dialer opens data connections to clients (active mode). The zero value is usable.
type Dialer struct {
	// HandshakeTimeout bounds the TLS handshake; default 10 s.
	HandshakeTimeout time.Duration
	// Dial connects from an address, that of the control connection, to a client; nil: TCP with keepalive.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Active is a data connection that the server is going to open.
type Active struct {
	dialer    *Dialer
	session   *Session
	from      netip.Addr
	to        netip.AddrPort
	protected bool
}

// Expect notes where a client waits for a data connection of s. Nothing is opened before Conn.
func (d *Dialer) Expect(s *Session, from netip.Addr, to netip.AddrPort, protected bool) *Active {
	return &Active{dialer: d, session: s, from: from, to: to, protected: protected}
}

// Conn opens the connection. The server is the TLS server here too (RFC 4217 7). A client that cannot be reached, or with
// whom no handshake comes about, is ErrNoConn.
func (a *Active) Conn(ctx context.Context) (*Conn, error) {
	dial := a.dialer.Dial
	if dial == nil {
		dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), KeepAliveConfig: keepAlive}
			return d.DialContext(ctx, "tcp", to.String())
		}
	}
	conn, err := dial(ctx, a.from, a.to)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	raw := &rawConn{Conn: rawio.Conn(conn)}
	if !a.protected {
		return &Conn{raw: raw}, nil
	}
	timeout := a.dialer.HandshakeTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	hs, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := handshake(hs, raw, a.session.dataTLS(true, false))
	if err == nil {
		err = a.session.checkPeer(c.tls.ConnectionState())
	}
	if err != nil {
		abort(conn)
		return nil, a.failed(ctx, err)
	}
	if c.resumed {
		a.session.resumed.Store(true)
	}
	return c, nil
}

// failed prefers the cause for which the transfer was ended to what that did to the connection.
func (a *Active) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrNoConn, err)
}

// Close does nothing: what has not been opened holds nothing.
func (a *Active) Close() {}
