package protocol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"sluice/protocol/socket"
	"sluice/protocol/wire"
)

// startTLS does the handshake on the control connection.
func (s *session) startTLS(ctx context.Context) error {
	cfg := s.data.SetTLS(s.srv.cfg.TLS())
	prompt := &socket.Prompt{Conn: s.conn, Transport: s.raw}
	s.conn = prompt
	if s.srv.cfg.CCC != CCCOff {
		s.conn = &recordConn{Conn: s.conn}
	}
	conn := tls.Server(s.conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.LoginTimeout)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	prompt.Over = true
	if err != nil {
		return err
	}
	cs := conn.ConnectionState()
	if len(cs.VerifiedChains) > 0 {
		s.cert = cs.PeerCertificates[0]
	}
	s.sni, s.host, s.secure = cs.ServerName, cs.ServerName, true
	s.data.SetPeer(s.cert)
	s.srv.cfg.Passive.Add(s.data)
	s.control(conn)
	return nil
}

// startImplicit does the handshake that an implicit listener begins with. A client that stays silent is greeted in the clear
// first, and only then begins TLS: z/OS does so unless told otherwise (z/OS, FTP.DATA, SECUREIMPLICITZOS). It hears one 220.
// Nothing but a ClientHello is ever read in the clear.
func (s *session) startImplicit() (greeted bool, err error) {
	first := make([]byte, 1)
	if s.srv.cfg.ClearGreeting > 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.srv.cfg.ClearGreeting))
		n, err := io.ReadFull(s.conn, first)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			greeted = true
			s.reply(reply(220, s.srv.cfg.Greeting))
			s.flush()
			_ = s.conn.SetReadDeadline(time.Now().Add(s.srv.cfg.LoginTimeout))
			n, err = io.ReadFull(s.conn, first)
		}
		if err != nil {
			return greeted, err
		}
		_ = s.conn.SetReadDeadline(time.Time{})
		s.conn = &replayConn{Conn: s.conn, replay: first[:n]}
	}
	return greeted, s.startTLS(s.ctx)
}

// replayConn gives back what was read to look at it.
type replayConn struct {
	net.Conn
	replay []byte
}

func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.replay) > 0 {
		n := copy(p, c.replay)
		c.replay = c.replay[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CCC is how a control connection returns to the clear (RFC 4217 4.3.1). Clients differ in whether they end TLS properly (z/OS,
// FTP.DATA, TLSRFCLEVEL).
type CCC int

// The flavours of CCC.
const (
	CCCOff      CCC = iota
	CCCRFC4217      // both sides send close_notify
	CCCDraft        // we send it; the client may
	CCCNoNotify     // we do not; the client may
)

// endTLS is how long the client has to end TLS after CCC.
const endTLS = 10 * time.Second

// ccc is RFC 4217 4.3.1. What the client sent behind it under TLS ends the session, as behind AUTH.
func (s *session) ccc(context.Context, string) (wire.Reply, error) {
	switch {
	case !s.secure || s.cleared:
		return reply(503, "TLS is not in use"), nil
	case s.srv.cfg.CCC == CCCOff:
		return reply(533, "The control connection stays protected"), nil
	case s.in.Buffered() > 0:
		s.closing = true
		return reply(503, "Data behind CCC; closing the connection"), nil
	}
	s.reply(reply(200, "Control connection is in the clear from here on"))
	s.flush()
	if err := s.leaveTLS(); err != nil {
		s.log.Info("CCC failed", "error", err)
		s.closing = true
	}
	return wire.Reply{}, nil
}

// leaveTLS makes the transport below TLS the control connection again.
func (s *session) leaveTLS() error {
	secured := s.conn.(*tls.Conn)
	raw := secured.NetConn().(*recordConn)
	if s.srv.cfg.CCC != CCCNoNotify {
		if err := secured.CloseWrite(); err != nil {
			return err
		}
	}
	_ = raw.SetReadDeadline(time.Now().Add(endTLS))
	first, err := raw.peek()
	if err != nil {
		return err
	}
	underTLS := first >= firstRecord && first <= lastRecord
	switch {
	case !underTLS && s.srv.cfg.CCC == CCCRFC4217:
		return errors.New("clear text without close_notify behind CCC")
	case underTLS:
		if n, err := secured.Read(make([]byte, 1)); n > 0 {
			return errors.New("a command under TLS behind CCC")
		} else if err != io.EOF {
			return fmt.Errorf("end of TLS behind CCC: %w", err)
		}
	}
	_ = raw.SetReadDeadline(time.Time{})
	s.cleared = true
	s.control(raw.clear())
	return nil
}

// recordConn never reads beyond the TLS record that is asked for, so that what comes in the clear behind TLS is not lost in
// the buffers of crypto/tls.
type recordConn struct {
	net.Conn
	ahead []byte // read by peek
	head  []byte // of the record, not passed on yet
	left  int    // bytes of its body
}

const (
	recordHead  = 5  // bytes: type, version, length (RFC 8446 5.1)
	firstRecord = 20 // types of records, all of them below any byte that a command begins with
	lastRecord  = 24
)

func (c *recordConn) Read(p []byte) (int, error) {
	if c.left == 0 && len(c.head) == 0 {
		head := make([]byte, recordHead)
		n := copy(head, c.ahead)
		c.ahead = nil
		m, err := io.ReadFull(c.Conn, head[n:])
		if err != nil {
			if n+m > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		c.head, c.left = head, int(head[3])<<8|int(head[4])
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// peek waits for the first byte behind the last record that was read, and leaves it there.
func (c *recordConn) peek() (byte, error) {
	if len(c.ahead) == 0 {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, b); err != nil {
			return 0, err
		}
		c.ahead = b
	}
	return c.ahead[0], nil
}

// clear is the connection without TLS.
func (c *recordConn) clear() net.Conn { return &replayConn{Conn: c.Conn, replay: c.ahead} }
