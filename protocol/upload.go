package protocol

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"sluice/backend/vfs"
	"sluice/protocol/dataconn"
	"sluice/protocol/wire"
)

// stor is RFC 959 4.1.3, from the offset of REST on (RFC 3659 5).
func (s *session) stor(t *transfer, arg string) job {
	return s.upload(t, arg, t.rest)
}

// appe is RFC 959 4.1.3. An offset of REST would contradict it.
func (s *session) appe(t *transfer, arg string) job {
	t.rest = 0
	return s.upload(t, arg, vfs.AtEnd)
}

func (s *session) upload(t *transfer, arg string, offset int64) job {
	t.name = s.path(arg)
	directory := strings.HasSuffix(arg, "/")
	return func(ctx context.Context) (wire.Reply, error) {
		if directory {
			return wire.Reply{}, vfs.ErrName
		}
		if t.limit != nil {
			return reply(504, "RANG is for RETR and HASH"), nil
		}
		u := &upload{t: t, ctx: ctx, text: "Ready to receive in " + t.opening(), appends: offset == vfs.AtEnd}
		return u.put(offset, vfs.PutOptions{Size: t.size})
	}
}

// stou stores under a name that nothing else has (RFC 959 4.1.3): the one that the client proposes, if it is free. The 150 reply
// tells it (RFC 1123 4.1.2.9).
func (s *session) stou(t *transfer, arg string) job {
	dir, base := s.cwd, ""
	if arg != "" {
		dir, base = path.Split(s.path(arg))
		dir = path.Clean(dir)
	}
	cwd, show := s.cwd, s.names.Encode
	t.rest = 0
	return func(ctx context.Context) (wire.Reply, error) {
		name := base
		if base == "" {
			base, name = "ftp", uniqueName("ftp")
		}
		for {
			t.name = path.Join(dir, name)
			shown := name
			if dir != cwd {
				shown = t.name
			}
			u := &upload{t: t, ctx: ctx, text: "FILE: " + show(shown)}
			rep, err := u.put(0, vfs.PutOptions{Size: t.size, Create: true})
			taken := errors.Is(err, vfs.ErrExist) || errors.Is(err, vfs.ErrIsDir)
			if !taken || u.conn != nil {
				return rep, err
			}
			name = uniqueName(base)
		}
	}
}

// uniqueName keeps the ending of a name, since it may tell what is in the file.
func uniqueName(base string) string {
	ext := path.Ext(base)
	return strings.TrimSuffix(base, ext) + "." + strings.ToLower(rand.Text()[:12]) + ext
}

// upload is the bytes of an upload. Its first Read opens the data connection, so that whatever can be refused beforehand is
// refused without one. It ends in io.EOF if and only if the client ended the stream properly.
type upload struct {
	t       *transfer
	ctx     context.Context // of this transfer: Read has no other way to learn of it
	text    string          // of the 150 reply
	appends bool            // at an offset that nobody has told
	conn    *dataconn.Conn
	src     io.Reader
	err     error
}

var errNoRestart = errors.New("REST needs TYPE I")

func (u *upload) put(offset int64, opts vfs.PutOptions) (wire.Reply, error) {
	_, err := u.t.fs.Put(u.ctx, u.t.name, offset, u, opts)
	switch {
	case err == nil:
		return reply(226, "Transfer complete"), nil
	case u.conn != nil:
		u.conn.Abort()
	}
	if u.err != nil && !errors.Is(u.err, io.EOF) { // which is no error: the client has done its part
		err = u.err // the first cause, whatever was made of it on the way
	}
	if errors.Is(err, errNoRestart) {
		return replyNoRestart, nil
	}
	return wire.Reply{}, err
}

func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.conn == nil {
		if err := u.open(); err != nil {
			u.err = err
			return 0, err
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

func (u *upload) open() (err error) {
	if u.t.rest > 0 && !u.t.continues() {
		return errNoRestart
	}
	if u.conn, err = u.t.connect(u.ctx, u.text); err != nil {
		return err
	}
	u.src = u.t.form.Decode(u.conn, u.marker)
	return nil
}

// marker tells the client at which offset it may go on behind a marker of its own (RFC 959 3.5).
func (u *upload) marker(text string) {
	if !u.appends {
		u.t.events <- event{reply: reply(110, fmt.Sprintf("MARK %s = %d", text, u.t.rest+u.t.bytes.Load()))}
	}
}
