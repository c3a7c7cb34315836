package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sluice/backend/vfs"
	"sluice/protocol/codec"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
)

// transfer is one command that uses a data connection. It runs in a goroutine of its own, on copies of the session's state:
// whatever the client sends meanwhile changes nothing for it. It tells the session its replies as events.
type transfer struct {
	seq      int64 // of its command
	verb     string
	name     string // absolute
	fs       vfs.FS
	form     codec.Form
	rest     int64
	limit    *int64     // of RANG: the byte behind the last one
	size     int64      // announced by ALLO
	expected dataSource // nil where the command needs none
	asked    bool       // for its data connection, behind 150
	lenient  bool
	patience time.Duration // for the data connection
	stall    time.Duration

	cancel  context.CancelCauseFunc
	stays   bool          // the loss of its client does not cancel it
	left    chan struct{} // closed when its client has gone, by the session
	events  chan event
	whole   atomic.Bool // an upload whose data has come to its end
	aborted time.Time   // the session's alone
	opened  bool        // the client has heard a preliminary reply: others may come before the final one. The session's alone
	begun   time.Time
	bytes   atomic.Int64
}

// dataSource is where the data connection of a transfer will come from: passive or active.
type dataSource interface {
	Conn(ctx context.Context) (*dataconn.Conn, error)
	Close()
}

// event is a reply of a transfer: any number of preliminary ones, then one that is final.
type event struct {
	reply wire.Reply
	final bool
}

// job does the work of a transfer and returns its final reply.
type job func(context.Context) (wire.Reply, error)

// begin starts a transfer command, or another one that takes its time. It returns a reply if it cannot be started.
func (s *session) begin(seq int64, cmd wire.Command, arg string, row *command) wire.Reply {
	t := &transfer{
		seq:  seq,
		verb: cmd.Verb, fs: s.account.FS, form: s.form, rest: s.rest, limit: s.limit,
		lenient: s.account.LenientClose, patience: s.srv.cfg.ConnectTimeout, stall: s.srv.cfg.StallTimeout,
		events: make(chan event), begun: time.Now(), stays: row.stays, left: make(chan struct{}),
	}
	if s.lost != nil {
		close(t.left)
	}
	if !row.local {
		rep := s.noData()
		t.size, t.expected = s.announced, s.expected
		s.announced, s.expected = 0, nil
		if rep.Code != 0 {
			s.letGo(t.expected)
			s.clear(0)
			return rep
		}
	}
	run := row.start(s, t, arg)
	s.clear(0)
	ctx, cancel := context.WithCancelCause(s.ctx)
	t.cancel = cancel
	s.current = t
	go func() {
		rep, err := t.run(ctx, s.log, run)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("%w (%w)", cause, err)
			}
		}
		switch {
		case t.expected != nil:
			rep = s.report(ctx, t, rep, err)
		case err != nil:
			rep = s.failed(ctx, cmd, err)
		}
		cancel(nil)
		if t.asked {
			t.expected.Close()
		}
		t.events <- event{reply: rep, final: true}
	}()
	return wire.Reply{}
}

// letGo gives up the data connection of a transfer that was refused, a little behind the reply: a client that hears of a reset
// before it has read the reply gives up its whole session (basic-ftp does).
func (s *session) letGo(e dataSource) {
	if e != nil {
		s.unused = e
		time.AfterFunc(lingering, e.Close)
	}
}

// run does the job; a panic in it becomes an error.
func (t *transfer) run(ctx context.Context, log *slog.Logger, do job) (rep wire.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "panic in a transfer", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("panic in a transfer")
		}
	}()
	return do(ctx)
}

// report tells the log, in one line, and the program of a finished transfer. It returns its reply, which is rep unless there is
// an error.
func (s *session) report(ctx context.Context, t *transfer, rep wire.Reply, err error) wire.Reply {
	level, id := slog.LevelInfo, ""
	if err != nil {
		rep, level, id = errorReply(err)
	}
	d := time.Since(t.begun)
	attrs := []any{"verb", t.verb, "path", t.name, "bytes", t.bytes.Load(), "duration", d, "code", rep.Code}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	if id != "" {
		attrs = append(attrs, "error_id", id)
	}
	s.log.Log(ctx, max(level, slog.LevelInfo), "transfer", attrs...)
	if s.srv.cfg.Hooks.Transfer != nil {
		s.srv.cfg.Hooks.Transfer(Transfer{
			User: s.account.Name, Remote: s.remote.Addr(), Verb: t.verb, Name: t.name, Bytes: t.bytes.Load(), Duration: d, Code: rep.Code, Err: err,
		})
	}
	return rep
}

// connect says 150 and waits for the data connection, which ends with ctx.
func (t *transfer) connect(ctx context.Context, text string) (*dataconn.Conn, error) {
	t.asked = true
	t.events <- event{reply: reply(150, text)}
	wait, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	conn, err := t.expected.Conn(wait)
	if err != nil {
		return nil, err
	}
	conn.SetPolicy(t.lenient, t.stall)
	context.AfterFunc(ctx, conn.Abort)
	return conn, nil
}

// opening describes the representation in a 150 reply, with the words that clients know.
func (t *transfer) opening() string {
	return [...]string{codec.ASCII: "ASCII", codec.Image: "BINARY", codec.EBCDIC: "EBCDIC"}[t.form.Type] + " mode"
}

// continues reports whether the transfer may begin in the middle of a file: offsets count stored bytes, and only in an image, or
// behind the restart markers of block mode, does the client know them.
func (t *transfer) continues() bool {
	return t.form.Mode == codec.Block || t.form.Type == codec.Image && !t.form.Record
}

var replyNoRestart = reply(504, "REST needs TYPE I")

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}
