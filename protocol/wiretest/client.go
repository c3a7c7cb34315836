package wiretest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"
)

var home = netip.MustParseAddr("192.0.2.1")

// client is one FTP client of a transcript.
type client struct {
	runner   *runner
	cache    tls.ClientSessionCache
	control  *stream
	data     *stream
	cleared  bool // the control connection has left TLS; data connections have not
	port     int
	listener net.Listener // of active mode
	accepted chan *Conn
	lines    string // of the control connection, not yet whole
	readers  sync.WaitGroup
}

// stream is one connection, with a reader that collects what arrives.
type stream struct {
	conn *Conn
	tls  *tls.Conn

	mu  sync.Mutex
	buf []byte
	end error
}

func (s *stream) reader(c *client) {
	c.readers.Go(func() {
		var r io.Reader = s.conn
		if s.tls != nil {
			r = s.tls
		}
		b := make([]byte, 64<<10)
		for {
			n, err := r.Read(b)
			s.mu.Lock()
			s.buf = append(s.buf, b[:n]...)
			s.end = err
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// greeting connects, once, and returns what the server says first.
func (c *client) greeting() []string {
	if c.control != nil {
		return nil
	}
	port := c.runner.server.Explicit
	if c.runner.implicit {
		port = c.runner.server.Implicit
	}
	conn, err := c.runner.server.Network.Dial(home, home, port)
	if err != nil {
		c.runner.t.Fatal(err)
	}
	c.control = &stream{conn: conn}
	if c.runner.implicit && !c.runner.slow {
		if err := c.secure(c.control, c.cache, 0); err != nil {
			c.runner.t.Fatal(err)
		}
	}
	c.control.reader(c)
	synctest.Wait()
	return c.observe()
}

// secure does a handshake on s.
func (c *client) secure(s *stream, cache tls.ClientSessionCache, version uint16) error {
	cfg := c.runner.server.Client.Clone()
	cfg.MaxVersion, cfg.ClientSessionCache = version, cache
	s.tls = tls.Client(s.conn, cfg)
	return s.tls.HandshakeContext(c.runner.t.Context())
}

func (c *client) do(action string) error {
	verb, arg, _ := strings.Cut(action, " ")
	switch verb {
	case "C:":
		return c.send(arg)
	case "CLEAR":
		if arg == "notify" {
			if err := c.control.tls.CloseWrite(); err != nil {
				return err
			}
		}
		c.pause()
		c.control, c.cleared = &stream{conn: c.control.conn}, true
		c.control.reader(c)
	case "TLS":
		c.pause()
		version := uint16(0)
		if arg == "1.2" {
			version = tls.VersionTLS12
		}
		if err := c.secure(c.control, c.cache, version); err != nil {
			return err
		}
		c.control.reader(c)
	case "FIN":
		return c.control.conn.CloseWrite()
	case "RST":
		_ = c.control.conn.SetLinger(0)
		return c.control.conn.Close()
	case "WAIT":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "D>":
		p, err := unescape(arg)
		if err != nil {
			return err
		}
		_, err = c.writer(c.data).Write([]byte(p))
		return err
	case "D:":
		return c.doData(strings.Fields(arg))
	default:
		return errors.New("unknown action")
	}
	return nil
}

// pause takes the reader of the control connection out of the way of what reads it next.
func (c *client) pause() {
	_ = c.control.conn.SetReadDeadline(time.Now())
	c.readers.Wait()
	_ = c.control.conn.SetReadDeadline(time.Time{})
}

func (c *client) send(text string) error {
	text, bare := strings.CutSuffix(text, `\`)
	p, err := unescape(text)
	if err != nil {
		return err
	}
	if !bare {
		p += "\r\n"
	}
	_, err = c.writer(c.control).Write([]byte(p))
	return err
}

func (c *client) writer(s *stream) io.Writer {
	if s.tls != nil {
		return s.tls
	}
	return s.conn
}

func (c *client) doData(words []string) error {
	switch words[0] {
	case "open":
		from := home
		if len(words) > 1 {
			from = netip.MustParseAddr(words[1])
		}
		conn, err := c.runner.server.Network.Dial(from, home, c.port)
		if err != nil {
			return err
		}
		c.data = &stream{conn: conn}
		if len(words) > 2 && words[2] == "clear" || len(words) == 1 && c.control.tls == nil && !c.cleared {
			c.data.reader(c)
		}
	case "listen":
		l, err := c.runner.server.Network.Listen("tcp", ":"+words[1])
		if err != nil {
			return err
		}
		c.readers.Go(func() {
			conn, err := l.Accept()
			_ = l.Close()
			if err == nil {
				c.accepted <- conn.(*Conn)
			}
		})
		c.listener = l
	case "accept":
		c.data = &stream{conn: <-c.accepted}
	case "tls":
		version := uint16(0)
		if c.control.tls != nil {
			version = c.control.tls.ConnectionState().Version
		}
		s, cache := c.data, c.cache
		if len(words) > 1 {
			cache = nil
			if other := c.runner.clients[words[1]]; other != nil {
				cache = other.cache
			}
		}
		c.readers.Go(func() { // the server may want to say 150 first
			if err := c.secure(s, cache, version); err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.end = err
				return
			}
			s.reader(c)
		})
	case "clear":
		c.data.reader(c)
	case "eof":
		if c.data.tls != nil {
			if err := c.data.tls.CloseWrite(); err != nil {
				return err
			}
		}
		return c.data.conn.CloseWrite()
	case "fin":
		return c.data.conn.CloseWrite()
	case "rst":
		_ = c.data.conn.SetLinger(0)
		return c.data.conn.Close()
	default:
		return errors.New("unknown action")
	}
	return nil
}

var ports = []*regexp.Regexp{regexp.MustCompile(`\(\|\|\|(\d+)\|\)`), regexp.MustCompile(`\(\d+,\d+,\d+,\d+,(\d+),(\d+)\)`)}

// observe returns what has arrived since the last time.
func (c *client) observe() (seen []string) {
	if s := c.control; s != nil {
		s.mu.Lock()
		c.lines += string(s.buf)
		s.buf = nil
		for {
			line, rest, whole := strings.Cut(c.lines, "\r\n")
			if !whole {
				break
			}
			c.lines = rest
			seen = append(seen, "S: "+c.hidePort(escape(line)))
		}
		if s.end != nil && !errors.Is(s.end, os.ErrDeadlineExceeded) {
			if c.lines != "" {
				seen = append(seen, "S: "+escape(c.lines)+`\`)
				c.lines = ""
			}
			if !errors.Is(s.end, errSeen) {
				seen = append(seen, "END")
			}
			s.end = errSeen
		}
		s.mu.Unlock()
	}
	if s := c.data; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.buf) > 0 {
			seen = append(seen, "D< "+escape(string(s.buf)))
			s.buf = nil
		}
		if s.end != nil && !errors.Is(s.end, errSeen) {
			seen = append(seen, "D< "+ending(s))
			s.end = errSeen
		}
	}
	return seen
}

var errSeen = errors.New("seen already")

func ending(s *stream) string {
	s.conn.mu.Lock()
	fin := s.conn.eof
	s.conn.mu.Unlock()
	switch {
	case errors.Is(s.end, syscall.ECONNRESET):
		return "RST"
	case s.end == io.EOF && s.tls != nil && !fin:
		return "EOF"
	case fin:
		return "FIN"
	}
	return "error: " + s.end.Error()
}

func (c *client) hidePort(line string) string {
	for i, re := range ports {
		m := re.FindStringSubmatchIndex(line)
		if m == nil || !strings.HasPrefix(line, "22") {
			continue
		}
		c.port, _ = strconv.Atoi(line[m[2]:m[3]])
		end := m[3]
		if i == 1 {
			low, _ := strconv.Atoi(line[m[4]:m[5]])
			c.port, end = c.port<<8|low, m[5]
		}
		return line[:m[2]] + "PORT" + line[end:]
	}
	return line
}

func escape(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func unescape(s string) (string, error) {
	return strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(s, `\"`, `"`), `"`, `\"`) + `"`)
}
