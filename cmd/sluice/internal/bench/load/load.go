// Package load is an FTPS client that puts load on a server: it resumes the TLS session of its control connection on its data
// connections, as good clients do, sends generated content and checks that it gets the same back. It does what the benchmarks need and
// no more; each method is one FTP command with its data connection.
package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/cmd/sluice/internal/bench/content"
)

// chunk is how much is handed to TLS, or taken from it, at once.
const chunk = 256 << 10

// Target is a server and who logs in there.
type Target struct {
	Address   string
	User      string
	Password  string
	TLS       *tls.Config // trusts the server
	Implicit  bool        // TLS from the first byte, instead of AUTH TLS
	ClearData bool        // the server has no TLS on data connections
}

// Session is one control connection. It is not safe for concurrent use.
type Session struct {
	target Target
	dialer net.Dialer
	tls    *tls.Config
	conn   net.Conn
	text   *textproto.Reader
}

// Open connects, logs in and sets binary type.
func Open(ctx context.Context, t Target) (_ *Session, err error) {
	s := &Session{target: t, tls: t.TLS.Clone()}
	s.tls.MinVersion, s.tls.DynamicRecordSizingDisabled = tls.VersionTLS13, true
	s.tls.ClientSessionCache = ticket{tls.NewLRUClientSessionCache(1)}
	if s.conn, err = s.dialer.DialContext(ctx, "tcp", t.Address); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.conn.Close()
		}
	}()
	if t.Implicit {
		s.secure()
	} else {
		s.text = textproto.NewReader(bufio.NewReader(s.conn))
	}
	if _, err := s.reply(220); err != nil {
		return nil, err
	}
	if !t.Implicit {
		if _, err := s.Do(234, "AUTH TLS"); err != nil {
			return nil, err
		}
		s.secure()
	}
	commands := []struct {
		code int
		line string
	}{{331, "USER " + t.User}, {230, "PASS " + t.Password}, {200, "PBSZ 0"}, {200, "PROT P"}, {200, "TYPE I"}}
	if t.ClearData {
		commands = append(commands[:2], commands[4])
	}
	for _, c := range commands {
		if _, err := s.Do(c.code, "%s", c.line); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ticket is that of the control connection. A data connection that fails in its handshake does not take it away.
type ticket struct{ tls.ClientSessionCache }

func (t ticket) Put(key string, s *tls.ClientSessionState) {
	if s != nil {
		t.ClientSessionCache.Put(key, s)
	}
}

func (s *Session) secure() {
	s.conn = tls.Client(s.conn, s.tls)
	s.text = textproto.NewReader(bufio.NewReader(s.conn))
}

// Close ends the session without a word.
func (s *Session) Close() error { return s.conn.Close() }

// Do sends a command and reads its reply, which must have the code.
func (s *Session) Do(code int, format string, args ...any) (string, error) {
	line := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return "", err
	}
	text, err := s.reply(code)
	if err != nil {
		verb, _, _ := strings.Cut(line, " ")
		return "", fmt.Errorf("%s: %w", verb, err)
	}
	return text, nil
}

func (s *Session) reply(code int) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return "", err
	}
	_, text, err := s.text.ReadResponse(code)
	return text, err
}

var port = regexp.MustCompile(`\|\|\|(\d+)\|`)

// Transfer sends a command with a data connection, on which f does its work, and waits for the end. Its error wraps that of f and, as
// *textproto.Error, what the server said.
func (s *Session) Transfer(ctx context.Context, command string, f func(data net.Conn) error) error {
	reply, err := s.Do(229, "EPSV")
	if err != nil {
		return err
	}
	m := port.FindStringSubmatch(reply)
	if m == nil {
		return fmt.Errorf("EPSV: %q has no port", reply)
	}
	host, _, err := net.SplitHostPort(s.target.Address)
	if err != nil {
		return err
	}
	data, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, m[1]))
	if err != nil {
		return err
	}
	defer func() { _ = data.Close() }()
	if err := data.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return err
	}
	if _, err := s.Do(1, "%s", command); err != nil { // 125 or 150
		return err
	}
	err = s.use(ctx, data, f)
	_, said := s.reply(226)
	if err != nil || said != nil {
		return fmt.Errorf("%s: %w", command, errors.Join(err, said))
	}
	return nil
}

// use does the work of f on a data connection and closes it.
func (s *Session) use(ctx context.Context, data net.Conn, f func(data net.Conn) error) error {
	if s.target.ClearData {
		return errors.Join(f(data), data.Close())
	}
	defer func() { _ = data.Close() }()
	secure := tls.Client(data, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	if !secure.ConnectionState().DidResume {
		return errors.New("the server did not resume the TLS session")
	}
	err := f(secure)
	_ = secure.Close() // who has read or written all has its end already
	return err
}

// Store uploads size bytes of the content.
func (s *Session) Store(ctx context.Context, name string, size int64) error {
	return s.StoreUntil(ctx, name, size, 0, nil)
}

// StoreUntil uploads size bytes of the content and waits before the last ones, of which there are rest. A wait that fails breaks the upload off.
func (s *Session) StoreUntil(ctx context.Context, name string, size, rest int64, wait func() error) error {
	return s.Send(ctx, "STOR "+name, 0, size, rest, wait)
}

// Send uploads size bytes of the content from off on by a command, and waits as StoreUntil does.
func (s *Session) Send(ctx context.Context, command string, off, size, rest int64, wait func() error) error {
	return s.SendBy(ctx, command, func(w io.Writer) error {
		if err := content.Write(w, off, size-rest); err != nil {
			return err
		}
		if wait != nil {
			if err := wait(); err != nil {
				return err
			}
		}
		return content.Write(w, off+size-rest, rest)
	})
}

// SendBy uploads what write writes. Where that fails the upload is broken off.
func (s *Session) SendBy(ctx context.Context, command string, write func(w io.Writer) error) error {
	return s.Transfer(ctx, command, func(data net.Conn) error {
		if err := write(chunks{data}); err != nil {
			return errors.Join(err, cut(data))
		}
		secure, ok := data.(*tls.Conn)
		if !ok {
			return nil // closing is all that a clear connection needs
		}
		if err := secure.CloseWrite(); err != nil { // close_notify alone
			return err
		}
		if err := secure.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		// What a server sends meanwhile, such as a ticket, must be read: closed over it, the connection would be reset.
		_, err := io.Copy(io.Discard, secure)
		return err
	})
}

// cut resets a connection, without the end that TLS has.
func cut(conn net.Conn) error {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close())
}

// chunks writes in pieces.
type chunks struct{ w io.Writer }

func (c chunks) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = c.w.Write(p[n:min(n+chunk, len(p))])
		n += k
	}
	return n, err
}

var buffers = sync.Pool{New: func() any { p := make([]byte, chunk); return &p }}

// Fetch downloads a file and expects size bytes of the content.
func (s *Session) Fetch(ctx context.Context, name string, size int64) error {
	return s.Transfer(ctx, "RETR "+name, func(data net.Conn) error {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		check := content.From(0)
		if _, err := io.CopyBuffer(check, struct{ io.Reader }{data}, *buf); err != nil {
			return err
		}
		if check.Wrong || check.Size != size {
			return fmt.Errorf("%d bytes came, wanted were %d; wrong: %t", check.Size, size, check.Wrong)
		}
		return nil
	})
}

// List reads a directory by verb, MLSD or LIST, and returns the number of its lines.
func (s *Session) List(ctx context.Context, verb, dir string) (lines int, err error) {
	err = s.Transfer(ctx, verb+" "+dir, func(data net.Conn) error {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		for {
			n, err := data.Read(*buf)
			lines += bytes.Count((*buf)[:n], []byte("\n"))
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	return lines, err
}

// Size asks for the size of a file.
func (s *Session) Size(name string) (int64, error) {
	text, err := s.Do(213, "SIZE %s", name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}
