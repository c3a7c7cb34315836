package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/transform"

	"sluice/backend/vfs"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
)

// copySize is how much of a download is read at once where the source cannot write itself.
const copySize = 128 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// transfer is one command that uses a data connection. It runs in a goroutine of its own, on copies of the session's state:
// whatever the client sends meanwhile changes nothing for it. It tells the session its replies as events.
type transfer struct {
	verb     string
	name     string // absolute
	fs       vfs.FS
	ascii    bool
	rest     int64
	size     int64 // announced by ALLO
	expected dataSource
	lenient  bool
	patience time.Duration // for the data connection
	stall    time.Duration

	cancel context.CancelCauseFunc
	events chan event
	begun  time.Time
	bytes  atomic.Int64
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

// begin starts a transfer command. It returns a reply if it cannot be started.
func (s *session) begin(cmd wire.Command, row *command) wire.Reply {
	t := &transfer{
		verb: cmd.Verb, fs: s.account.FS, ascii: s.ascii, rest: s.rest, size: s.announced, expected: s.expected,
		lenient: s.account.LenientClose, patience: s.srv.cfg.ConnectTimeout, stall: s.srv.cfg.StallTimeout,
		events: make(chan event), begun: time.Now(),
	}
	rep := s.noData()
	s.clear(0)
	s.announced, s.expected = 0, nil
	if rep.Code != 0 {
		if t.expected != nil {
			t.expected.Close()
		}
		return rep
	}
	run := row.start(s, t, cmd.Arg)
	ctx, cancel := context.WithCancelCause(s.ctx)
	t.cancel = cancel
	s.current = t
	go func() {
		rep, err := t.run(ctx, s.log, run)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("%w (%w)", cause, err)
			}
			rep = s.errorReply(ctx, cmd, err)
		}
		cancel(nil)
		t.expected.Close()
		s.report(t, rep.Code, err)
		t.events <- event{reply: rep, final: true}
	}()
	return wire.Reply{}
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

// report tells the log and the program of a finished transfer.
func (s *session) report(t *transfer, code int, err error) {
	d := time.Since(t.begun)
	attrs := []any{"verb", t.verb, "path", t.name, "bytes", t.bytes.Load(), "duration", d, "code", code}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	s.log.Info("transfer", attrs...)
	if s.srv.cfg.Hooks.Transfer != nil {
		s.srv.cfg.Hooks.Transfer(Transfer{
			User: s.account.Name, Remote: s.remote.Addr(), Verb: t.verb, Name: t.name, Bytes: t.bytes.Load(), Duration: d, Code: code, Err: err,
		})
	}
}

// connect says 150 and waits for the data connection, which ends with ctx.
func (t *transfer) connect(ctx context.Context, text string) (*dataconn.Conn, error) {
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

func (t *transfer) representation() string {
	if t.ascii {
		return "ASCII"
	}
	return "BINARY"
}

// retr is RFC 959 4.1.3, from the offset of REST on (RFC 3659 5).
func (s *session) retr(t *transfer, arg string) job {
	t.name = s.path(arg)
	return func(ctx context.Context) (wire.Reply, error) {
		if t.ascii && t.rest > 0 {
			return reply(504, "REST needs TYPE I"), nil
		}
		file, info, err := t.fs.Open(ctx, t.name, t.rest)
		if err != nil {
			return wire.Reply{}, err
		}
		defer file.Close()
		conn, err := t.connect(ctx, fmt.Sprintf("Opening %s mode data connection (%d bytes)", t.representation(), info.Size-t.rest))
		if err != nil {
			return wire.Reply{}, err
		}
		if err := t.send(conn, file); err != nil {
			conn.Abort()
			return wire.Reply{}, err
		}
		return reply(226, "Transfer complete"), conn.Close()
	}
}

// send copies a file to the data connection.
func (t *transfer) send(conn *dataconn.Conn, file io.Reader) error {
	if t.ascii {
		file = transform.NewReader(file, &toCRLF{})
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	_, err := io.CopyBuffer(&counter{conn, &t.bytes}, file, *buf)
	return err
}

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

// stor is RFC 959 4.1.3, from the offset of REST on (RFC 3659 5).
func (s *session) stor(t *transfer, arg string) job { return s.upload(t, arg, t.rest) }

// appe is RFC 959 4.1.3. An offset of REST would contradict it.
func (s *session) appe(t *transfer, arg string) job { return s.upload(t, arg, vfs.AtEnd) }

func (s *session) upload(t *transfer, arg string, offset int64) job {
	t.name = s.path(arg)
	return func(ctx context.Context) (wire.Reply, error) {
		if t.ascii && offset > 0 {
			return reply(504, "REST needs TYPE I"), nil
		}
		u := &upload{t: t, ctx: ctx}
		_, err := t.fs.Put(ctx, t.name, offset, u, vfs.PutOptions{Size: t.size})
		if err != nil {
			if u.conn != nil {
				u.conn.Abort()
			}
			if u.err != nil {
				err = u.err // the first cause, whatever was made of it on the way
			}
			return wire.Reply{}, err
		}
		return reply(226, "Transfer complete"), nil
	}
}

// upload is the bytes of an upload. Its first Read opens the data connection, so that whatever can be refused beforehand is
// refused without one. It ends in io.EOF if and only if the client ended the stream properly.
type upload struct {
	t    *transfer
	ctx  context.Context // of this transfer: Read has no other way to learn of it
	conn *dataconn.Conn
	src  io.Reader
	err  error
}

func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.conn == nil {
		conn, err := u.t.connect(u.ctx, "Ready to receive in "+u.t.representation()+" mode")
		if err != nil {
			u.err = err
			return 0, err
		}
		u.conn, u.src = conn, conn
		if u.t.ascii {
			u.src = transform.NewReader(conn, fromCRLF{})
		}
	}
	n, err := u.src.Read(p)
	u.t.bytes.Add(int64(n))
	if err != nil {
		u.err = err
	}
	if err == io.EOF {
		_ = u.conn.Close() // the client has ended; that it hears our close_notify changes nothing for the file
	}
	return n, err
}
