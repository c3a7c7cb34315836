package protocol

import (
	"errors"
	"io"
	"time"

	"sluice/protocol/wire"
)

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
