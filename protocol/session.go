package protocol

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// alarm is an ABOR, or the loss of the connection, told as soon as it is read, however many commands wait in front of it.
type alarm struct {
	seq   int64 // of the item
	cause error
}

// item is one command, or why there is none.
type item struct {
	seq  int64 // counts up
	cmd  wire.Command
	err  error
	last bool // the reader has ended: what comes next depends on this command, or cannot be read
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
	inlineUrgent(conn)
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

// read starts the goroutine that reads commands. It ends with the connection, or behind a command after which the bytes of the
// connection mean something else.
func (s *session) read() {
	in, items := s.in, make(chan item, maxAhead)
	s.items = items
	s.reader.Go(func() {
		quitting := false
		for {
			s.seen++
			cmd, err := in.ReadCommand()
			it := item{seq: s.seen, cmd: cmd, err: err}
			lost := err != nil && !errors.Is(err, wire.ErrTooLong) && !errors.Is(err, wire.ErrSyntax)
			it.last = lost || cmd.Verb == "AUTH" || cmd.Verb == "CCC"
			quitting = quitting || cmd.Verb == "QUIT"
			switch {
			case lost && !quitting:
				s.alarm(alarm{it.seq, errLost})
			case cmd.Verb == "ABOR":
				s.alarm(alarm{it.seq, errAborted})
			}
			select {
			case items <- it:
			case <-s.ctx.Done():
				return
			}
			if it.last {
				return
			}
		}
	})
}

// alarm tells the loop; of two that it has not seen yet, the later one counts for what the earlier one would, and an ABOR as one.
func (s *session) alarm(a alarm) {
	select {
	case earlier := <-s.alarms:
		if errors.Is(earlier.cause, errAborted) {
			a.cause = errAborted
		}
	default:
	}
	s.alarms <- a
}

// loop serves commands until the session ends.
func (s *session) loop() {
	s.lastSeen = s.begun
	for !s.closing {
		if s.current == nil && len(s.held) > 0 {
			it := s.held[0]
			s.held = s.held[1:]
			s.dispatch(it)
			continue
		}
		if s.current == nil && s.lost != nil {
			return
		}
		s.wait()
	}
}

// wait takes the next thing that happens.
func (s *session) wait() {
	items := s.items
	if s.lost != nil || len(s.held) >= maxAhead {
		items = nil // the client has to wait, and TCP tells it so
	}
	var events chan event
	var timeout <-chan time.Time
	draining := s.srv.draining
	if t := s.current; t != nil {
		events, draining = t.events, nil
		if !t.aborted.IsZero() && t.expected != nil && !t.whole.Load() {
			timer := time.NewTimer(time.Until(t.aborted.Add(abortPatience)))
			defer timer.Stop()
			timeout = timer.C
		}
	} else {
		limit := s.lastSeen.Add(s.idle)
		if s.account == nil {
			limit = s.begun.Add(s.srv.cfg.LoginTimeout)
		}
		timer := time.NewTimer(time.Until(limit))
		defer timer.Stop()
		timeout = timer.C
	}
	select { // replies to commands that came together leave together
	case it := <-items:
		s.take(it)
		return
	default:
		s.flush()
	}
	select {
	case it := <-items:
		s.take(it)
	case a := <-s.alarms:
		if s.current != nil && s.current.seq < a.seq && (!s.current.stays || !errors.Is(a.cause, errLost)) {
			s.current.cancel(a.cause)
			if s.current.aborted.IsZero() {
				s.current.aborted = time.Now()
			}
		}
	case ev := <-events:
		s.reply(ev.reply)
		s.current.opened = true
		if ev.final {
			if !s.current.asked {
				s.letGo(s.current.expected)
			}
			s.current = nil
			s.lastSeen = time.Now()
		}
	case <-timeout:
		if s.current != nil {
			s.abandon()
			break
		}
		s.bye("Timeout: closing the connection")
	case <-draining:
		s.bye("Server is shutting down")
	}
}

// abandon answers for a transfer that was aborted and whose clean-up in the store takes its time: nothing of it will be seen, since
// the client's data had not come to its end.
func (s *session) abandon() {
	t := s.current
	if t.whole.Load() {
		return // it is being stored: the store has the word
	}
	s.abandoned.Go(func() {
		for ev := range t.events {
			if ev.final {
				return
			}
		}
	})
	s.current, s.lastSeen = nil, time.Now()
	s.reply(reply(426, "Transfer aborted"))
}

func (s *session) bye(text string) {
	s.reply(reply(421, text))
	s.closing = true
}

// take decides when a command is answered: at once, or in its turn behind the transfer.
func (s *session) take(it item) {
	s.lastSeen = time.Now()
	if it.err != nil && it.last && !errors.Is(it.err, wire.ErrForeign) {
		s.lost = it.err
		if s.current != nil {
			close(s.current.left)
		}
		if !errors.Is(it.err, io.EOF) {
			s.log.Debug("control connection lost", "error", it.err)
		}
		return
	}
	row := s.srv.commands[it.cmd.Verb]
	switch {
	case s.current == nil:
		s.dispatch(it)
		return
	case row == nil:
	case row.during && len(s.held) == 0 && s.current.opened:
		s.dispatch(it)
		return
	}
	s.held = append(s.held, it)
}

// dispatch answers one command.
func (s *session) dispatch(it item) {
	if it.err == nil && it.cmd == (wire.Command{}) {
		return // an empty line
	}
	s.log.Debug("command", "command", it.cmd.String())
	rep := s.execute(it)
	if rep.Code != 0 {
		s.reply(rep)
		if s.srv.cfg.Hooks.Command != nil {
			s.srv.cfg.Hooks.Command(s.verbLabel(it.cmd.Verb), rep.Code)
		}
		s.judge(rep.Code)
	}
	if it.last && !s.closing { // the reader waits for what this command made of the connection
		s.read()
	}
}

// verbLabel keeps what a client invents out of metrics.
func (s *session) verbLabel(verb string) string {
	if s.srv.commands[verb] == nil {
		return "other"
	}
	return verb
}

// judge ends a session that has sent nothing but errors before its login: that is no FTP client.
func (s *session) judge(code int) {
	if s.account != nil || code < 500 {
		s.bad = 0
		return
	}
	if s.bad++; s.bad >= maxBadCommands && !s.closing {
		s.bye("Too many errors; closing the connection")
	}
}

// execute checks a command against its row and runs it. A zero reply means that a transfer has begun, or that the command has
// written its replies itself.
func (s *session) execute(it item) wire.Reply {
	switch {
	case errors.Is(it.err, wire.ErrForeign), it.cmd.Foreign():
		s.closing = true
		return reply(500, "This is an FTP server; closing the connection")
	case errors.Is(it.err, wire.ErrTooLong):
		if s.badLines++; s.badLines >= maxBadLines {
			s.closing = true
		}
		return reply(500, "Command line too long")
	case it.err != nil:
		return reply(501, "NUL or CR in a command")
	}
	cmd := it.cmd
	row := s.srv.commands[cmd.Verb]
	arg := cmd.Arg
	if row != nil && row.sub != nil && s.account != nil && arg != "" {
		if row, arg = row.sub(s, arg); row == nil {
			s.clear(0)
			return s.unknownSite()
		}
	}
	var keeps mark
	if row != nil {
		keeps = row.keeps
	}
	if row == nil || row.start == nil { // a transfer takes REST with it
		s.clear(keeps)
	}
	switch {
	case row == nil:
		return reply(500, "Unknown command")
	case row.phase == loggedIn && s.account == nil:
		return reply(530, "Log in first")
	case row.arg == needed && arg == "":
		return reply(501, "Syntax: "+row.help)
	case row.arg == none && arg != "":
		return reply(501, "Syntax: "+row.help)
	}
	if row.start != nil {
		return s.begin(it.seq, cmd, arg, row)
	}
	rep, err := row.run(s, s.ctx, arg)
	if err != nil {
		return s.failed(s.ctx, cmd, err)
	}
	return rep
}

func (s *session) clear(keeps mark) {
	if keeps&markREST == 0 {
		s.rest, s.limit = 0, nil
	}
	if keeps&markRNFR == 0 {
		s.renaming, s.copying = "", ""
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
