package dataconn

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Control and data connections name different protocols, so that neither can be passed off as a web server (ALPACA). A
// client that names none is served; one that names only others gets a fatal alert from crypto/tls.
var (
	controlProtocols = []string{"ftp"}
	dataProtocols    = []string{"ftp-data", "ftp"}
)

// id names a session inside its TLS tickets.
type id [16]byte

// Session is what binds data connections to one control connection. Its tickets begin with its id in clear, which routes
// a connection before its handshake, and are sealed with a key of its own, which proves that the client took part in the
// control connection's handshake: no other session's ticket can be opened.
//
// Behind the id the tickets name a family. Some clients keep the tickets of all their sessions in one place and present the
// latest on whatever data connection (rclone does). They give themselves away when they offer one on a control connection: that
// session joins the family of the ticket, and in a family tickets do not tell one session from another.
type Session struct {
	id      id
	family  id          // its own, unless it joined another before it was added
	shared  atomic.Bool // there are others in the family
	remote  netip.Addr
	tls     *tls.Config       // of the control connection; nil before SetTLS
	peer    *x509.Certificate // what the client showed on the control connection
	resumed atomic.Bool       // a data connection has resumed: this client can
}

// NewSession returns a session for a control connection from remote.
func NewSession(remote netip.Addr) *Session {
	s := &Session{remote: remote.Unmap()}
	_, _ = rand.Read(s.id[:]) // never fails (crypto/rand)
	s.family = s.id
	return s
}

// SetTLS makes base the configuration of the session, certificates included, and returns what the control connection's
// handshake must use. Data connections use the same for as long as the session lives.
func (s *Session) SetTLS(base *tls.Config) *tls.Config {
	cfg := base.Clone()
	var key [32]byte
	_, _ = rand.Read(key[:])
	cfg.SetSessionTicketKeys([][32]byte{key})
	cfg.NextProtos = controlProtocols
	cfg.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		ticket, err := cfg.EncryptTicket(cs, state)
		if err != nil {
			return nil, err
		}
		return slices.Concat(s.id[:], s.family[:], ticket), nil
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		sealed, ok := bytes.CutPrefix(ticket, s.id[:])
		if !ok || len(sealed) < len(id{}) {
			return nil, nil
		}
		return cfg.DecryptTicket(sealed[len(id{}):], cs)
	}
	s.tls = cfg
	control := cfg.Clone()
	control.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		if !s.shared.Load() && len(ticket) > 2*len(id{}) {
			s.family = id(ticket[len(id{}) : 2*len(id{})])
			s.shared.Store(true)
		}
		return nil, nil
	}
	return control
}

// SetPeer says which certificate the client showed on the control connection, nil if none. A data connection that does not
// resume must show the same one or none.
func (s *Session) SetPeer(cert *x509.Certificate) { s.peer = cert }

// dataTLS is the configuration of one data connection. hasTicket says that the client offers to resume, light that its keys may
// be agreed upon by X25519 without ML-KEM, which costs as much as the rest of the handshake. A resumed connection's keys also depend on the
// secret of its ticket (RFC 8446 7.1), which came from the control connection's own key exchange: that is hybrid if the client can do it. Only
// who offers a ticket that turns out to be void, and does a full handshake then, has X25519 alone.
//
// It issues no new ticket: a client that only writes would leave it unread, and its kernel would answer our last bytes with
// a reset that destroys the tail of the upload. crypto/tls has one switch for issuing and for accepting tickets, so the
// switch of this connection's own copy is turned when the client's ticket has been opened.
func (s *Session) dataTLS(hasTicket, light bool) *tls.Config {
	cfg := s.tls.Clone()
	cfg.NextProtos = dataProtocols
	cfg.DynamicRecordSizingDisabled = true
	cfg.SessionTicketsDisabled = !hasTicket
	if light {
		cfg.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	}
	unwrap := cfg.UnwrapSession
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := unwrap(ticket, cs)
		if cs.Version == tls.VersionTLS13 {
			cfg.SessionTicketsDisabled = true
		}
		return state, err
	}
	if s.peer == nil {
		cfg.ClientAuth = tls.NoClientCert
	} else {
		// Not required: many clients show their certificate on the control connection alone.
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return cfg
}

// checkPeer refuses a data connection that shows another certificate than the control connection did.
func (s *Session) checkPeer(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) > 0 && (s.peer == nil || !cs.PeerCertificates[0].Equal(s.peer)) {
		return errors.New("client certificate differs from the control connection's")
	}
	return nil
}
