package protocol

import (
	"context"
	"fmt"
	"io"
	"sync"

	"sluice/protocol/codec"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
)

// copySize is how much of a download is read at once where the source cannot write itself.
const copySize = 64 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// retr is RFC 959 4.1.3, from the offset of REST on (RFC 3659 5), or the range of RANG.
func (s *session) retr(t *transfer, arg string) job {
	t.name = s.path(arg)
	return func(ctx context.Context) (wire.Reply, error) {
		file, info, err := t.fs.Open(ctx, t.name, t.rest)
		if err != nil {
			return wire.Reply{}, err
		}
		defer file.Close()
		if t.rest > 0 && !t.continues() {
			return replyNoRestart, nil
		}
		var src io.Reader = file
		size := info.Size - t.rest
		if t.limit != nil {
			if t.rest >= info.Size {
				return reply(551, "The range begins behind the end of the file"), nil
			}
			size = min(size, *t.limit-t.rest)
			src = io.LimitReader(file, size)
		}
		opening := "Opening " + t.opening() + " data connection"
		if t.form.Plain() { // clients take the number for what is going to arrive
			opening += fmt.Sprintf(" (%d bytes)", size)
		}
		conn, err := t.connect(ctx, opening)
		if err != nil {
			return wire.Reply{}, err
		}
		if err := t.send(conn, src); err != nil {
			conn.Abort()
			return wire.Reply{}, err
		}
		return reply(226, "Transfer complete"), t.end(conn)
	}
}

// end closes a data connection that everything has been written to. Where the mode tells the client the end, it may be gone by
// then (lftp goes behind the end of a zlib stream), and has what it came for.
func (t *transfer) end(conn *dataconn.Conn) error {
	err := conn.Close()
	if t.form.Mode != codec.Stream {
		return nil
	}
	return err
}

// send copies a file to the data connection.
func (t *transfer) send(conn *dataconn.Conn, file io.Reader) error {
	w := t.form.Encode(conn, t.rest)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if _, err := io.CopyBuffer(&counter{w, &t.bytes}, file, *buf); err != nil {
		return err
	}
	return w.Close()
}

// rang is a range for the next RETR or HASH, both ends included; "1 0" takes it back (draft-bryan-ftpext-range).
func (s *session) rang(_ context.Context, arg string) (wire.Reply, error) {
	s.rest, s.limit = 0, nil
	first, last, ok := cutNumbers(arg)
	switch {
	case !ok:
		return wire.Reply{}, wire.ErrArgument
	case first == 1 && last == 0:
		return reply(350, "Range taken back"), nil
	case last < first || last+1 <= 0:
		return wire.Reply{}, fmt.Errorf("ends before it begins: %w", wire.ErrArgument)
	case !s.form.Plain():
		return reply(504, "RANG needs TYPE I, MODE S and STRU F"), nil
	}
	end := last + 1
	s.rest, s.limit = first, &end
	return reply(350, fmt.Sprintf("Restarting at %d, ending at %d", first, last)), nil
}
