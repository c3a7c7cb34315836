package protocol

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"sluice/protocol/codec"
	"sluice/protocol/dataconn"
	"sluice/protocol/listing"
	"sluice/protocol/socket"
	"sluice/protocol/wire"
)

const (
	maxAhead        = 32 // commands read while others are still unanswered
	maxBadLines     = 3  // over-long lines of one session
	maxBadCommands  = 5  // in a row, before login
	maxBadPasswords = 5
	writeTimeout    = 30 * time.Second // for a reply
	lingering       = 500 * time.Millisecond
	abortPatience   = 700 * time.Millisecond // for an aborted transfer to end: ABOR is answered within a second
)

// session is one control connection. One goroutine owns it and everything in it, without locks: its loop selects over the
// next command, the transfer, the timer and the end of the server, and is the only writer of replies.
type session struct {
	srv    *Server
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc
	remote netip.AddrPort
	local  netip.AddrPort

	raw      net.Conn // as accepted
	conn     net.Conn // the control connection; a *tls.Conn once it is secured
	in       *wire.Reader
	out      *bufio.Writer
	items    chan item
	alarms   chan alarm
	reader   sync.WaitGroup
	seen     int64 // items read; the reader's alone
	data     *dataconn.Session
	secure   bool
	cert     *x509.Certificate
	sni      string
	host     string // of HOST, else sni
	idle     time.Duration
	implicit bool

	held      []item         // read, and to be answered after the transfer
	current   *transfer      // nil if none runs
	abandoned sync.WaitGroup // transfers that nobody waits for any more
	lost      error          // why nothing more can be read
	closing   bool           // after the reply that ends the session
	begun     time.Time
	lastSeen  time.Time // of a command
	badLines  int
	bad       int // commands in a row
	denied    int

	introduced bool     // has logged in once
	name       string   // of USER
	account    *Account // nil before login
	cwd        string
	form       codec.Form   // TYPE, MODE and STRU
	names      wire.Charset // of file names
	utf8       bool         // OPTS UTF8 ON: whatever the user's profile says
	protect    bool         // PROT P
	cleared    bool         // CCC: the control connection is in the clear again
	facts      listing.Facts
	digest     string // of OPTS HASH
	rest       int64
	limit      *int64 // of RANG: the byte behind the last one
	renaming   string // of RNFR
	copying    string // of SITE CPFR
	announced  int64  // by ALLO: the size of the next upload
	epsvAll    bool
	expected   dataSource // of the next transfer; nil before PASV and the like
	unused     dataSource // of a transfer that was refused; closed soon
}

// serve runs one session to its end. With a refusal it says nothing else to the client.
func serve(srv *Server, conn net.Conn, mode Mode, refusal string) {
	s := &session{srv: srv, raw: conn, conn: conn, begun: time.Now(), idle: srv.cfg.IdleTimeout, implicit: mode == Implicit, alarms: make(chan alarm, 1)}
	s.reset(false)
	s.remote, s.local = addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr())
	s.log = srv.cfg.Logger.With("session", rand.Text()[:8], "remote", s.remote.String())
	s.ctx, s.cancel = context.WithCancelCause(srv.ctx)
	s.data = dataconn.NewSession(s.remote.Addr())
	defer s.end()
	socket.InlineUrgent(conn)
	s.control(conn)
	greeted := false
	if mode == Implicit {
		var err error
		if greeted, err = s.startImplicit(); err != nil {
			s.log.Info("TLS handshake failed", "error", err)
			return
		}
		s.protect = true
	}
	if refusal != "" {
		s.reply(reply(421, refusal))
		s.flush()
		return
	}
	s.log.Debug("session begins")
	if !greeted {
		s.reply(reply(220, srv.cfg.Greeting))
	}
	s.read()
	s.loop()
}

// reset puts everything that a client can set back to how a session begins.
func (s *session) reset(protect bool) {
	s.abandoned.Wait() // they work for the user who goes
	s.logout()
	s.dropExpected()
	s.clear(0)
	s.name, s.cwd, s.form = "", "/", codec.Form{Level: codec.DefaultLevel}
	s.names, s.utf8 = wire.Charset{}, false
	s.facts, s.digest, s.protect = listing.AllFacts, defaultHash, protect
	s.announced, s.epsvAll = 0, false
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// control makes conn the connection that commands are read from and replies written to.
func (s *session) control(conn net.Conn) {
	s.conn, s.in, s.out = conn, wire.NewReader(conn), bufio.NewWriterSize(&replyWriter{conn}, 512)
}

// end releases everything and waits for every goroutine of the session. A panic ends here: this session, not the process.
func (s *session) end() {
	if p := recover(); p != nil {
		s.log.Error("panic in a session", "panic", p, "stack", string(debug.Stack()))
		s.reply(reply(421, "Internal error; closing the connection"))
	}
	s.flush()
	s.cancel(errLost)
	if s.current != nil {
		s.drain()
	}
	s.abandoned.Wait()
	s.dropExpected()
	s.srv.cfg.Passive.Remove(s.data)
	s.hangUp()
	s.logout()
	if !s.introduced {
		s.srv.introduce(s.remote.Addr())
	}
	s.log.Debug("session ends", "duration", time.Since(s.begun))
}

// hangUp closes the control connection so that the last reply arrives: closing it with bytes of the client unread would make
// the kernel send a reset, which can destroy a reply on its way.
func (s *session) hangUp() {
	_ = s.conn.SetDeadline(time.Now().Add(lingering))
	if c, ok := s.conn.(*tls.Conn); ok {
		_ = c.CloseWrite()
	}
	if c, ok := s.raw.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		s.reader.Wait()
		_, _ = io.Copy(io.Discard, io.LimitReader(s.raw, 1<<16))
	}
	_ = s.conn.Close()
	s.reader.Wait()
}

// drain waits for the end of a cancelled transfer whose replies nobody will read.
func (s *session) drain() {
	for s.current != nil {
		if ev := <-s.current.events; ev.final {
			if !s.current.asked {
				s.letGo(s.current.expected)
			}
			s.current = nil
		}
	}
}

func (s *session) logout() {
	if s.account != nil {
		if s.account.Close != nil {
			s.account.Close()
		}
		if s.srv.cfg.Hooks.Session != nil {
			s.srv.cfg.Hooks.Session(false)
		}
		s.account = nil
	}
}

// replyWriter gives each write of replies its own time: a client that does not read is given up.
type replyWriter struct{ conn net.Conn }

func (w *replyWriter) Write(p []byte) (int, error) {
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return w.conn.Write(p)
}

func (s *session) reply(r wire.Reply) {
	_, err := s.out.Write(r.Append(nil))
	s.delivered(err)
}

func (s *session) flush() { s.delivered(s.out.Flush()) }

// delivered closes the connection of a client that is gone or does not read. The reader of commands notices that too.
func (s *session) delivered(err error) {
	if err != nil {
		s.log.Debug("reply not delivered", "error", err)
		_ = s.conn.Close()
	}
}
