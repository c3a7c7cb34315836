//go:build e2e

package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long a reply may take before it counts as none.
const patience = 5 * time.Second

// probe is one connection to a server, over which it is asked things.
type probe struct {
	t      *testing.T
	p      *peer
	raw    net.Conn
	conn   net.Conn // raw, or TLS over it
	in     *bufio.Reader
	tls    *tls.Config
	secure bool   // data connections
	text   string // of the last reply's last line
}

var errSilent, errClosed = errors.New("silent"), errors.New("closed")

// open connects and reads the greeting.
func (p *peer) open(t *testing.T, roots *tls.Config) *probe {
	t.Helper()
	raw, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	must(t, err)
	cfg := roots.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	q := &probe{t: t, p: p, raw: raw, conn: raw, in: bufio.NewReader(raw), tls: cfg}
	q.want("", "220")
	return q
}

func (q *probe) want(command, want string) {
	q.t.Helper()
	if command != "" {
		q.send(command + "\r\n")
	}
	if got, err := q.reply(20 * time.Second); got != want {
		q.t.Errorf("%s: %q: %s %v, want %s", q.p.name, command, got, err, want)
	}
}

func (q *probe) send(text string) { _, _ = io.WriteString(q.conn, text) }

// encrypt begins TLS. Its version is 1.2, where no ticket is left unread when a data connection is closed.
func (q *probe) encrypt() error {
	_ = q.raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(q.raw, q.tls)
	if err := conn.Handshake(); err != nil {
		return err
	}
	_ = q.raw.SetDeadline(time.Time{})
	q.conn, q.in = conn, bufio.NewReader(conn)
	return nil
}

// login begins TLS, logs in and protects data connections.
func (q *probe) login() {
	q.t.Helper()
	q.want("AUTH TLS", "234")
	must(q.t, q.encrypt())
	q.want("USER "+q.p.user, "331")
	q.want("PASS "+password, "230")
	q.want("PBSZ 0", "200")
	q.want("PROT P", "200")
	q.want("TYPE I", "200")
	if q.p.cwd != "" {
		q.want("CWD "+q.p.cwd, "250")
	}
	q.secure = true
}

// reply reads one reply and returns its code.
func (q *probe) reply(wait time.Duration) (string, error) {
	_ = q.raw.SetReadDeadline(time.Now().Add(wait))
	first := ""
	for {
		line, err := q.in.ReadString('\n')
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return "", errSilent
		case err != nil:
			return "", errClosed
		case first == "" && len(line) > 3:
			if _, err := strconv.Atoi(line[:3]); err != nil {
				return "noise", nil
			}
			if first = line[:3]; line[3] != '-' {
				q.text = strings.TrimSpace(line[4:])
				return first, nil
			}
		case strings.HasPrefix(line, first+" "):
			return first, nil
		}
	}
}

// replies reads up to a final reply and returns the codes, as "150+226". A dash stands for silence, an x for the end.
func (q *probe) replies() string {
	var codes []string
	for {
		code, err := q.reply(patience)
		switch {
		case errors.Is(err, errSilent):
			return strings.Join(append(codes, "-"), "+")
		case err != nil:
			return strings.Join(append(codes, "x"), "+")
		}
		if codes = append(codes, code); code[0] != '1' {
			return strings.Join(codes, "+")
		}
	}
}

// surplus are replies that nobody asked for.
func (q *probe) surplus() string {
	text := ""
	for {
		code, err := q.reply(250 * time.Millisecond)
		switch {
		case errors.Is(err, errClosed):
			return text + "+x"
		case err != nil:
			return text
		}
		text += "+" + code
	}
}

var pasvPort = regexp.MustCompile(`\((?:\d+,){4}(\d+),(\d+)\)`)

// passive sends PASV and returns the address to connect to.
func (q *probe) passive() string {
	q.t.Helper()
	q.send("PASV\r\n")
	_ = q.raw.SetReadDeadline(time.Now().Add(patience))
	line, _ := q.in.ReadString('\n')
	m := pasvPort.FindStringSubmatch(line)
	if m == nil {
		q.t.Errorf("%s: PASV: %q", q.p.name, line)
		return "127.0.0.1:1"
	}
	high, _ := strconv.Atoi(m[1])
	low, _ := strconv.Atoi(m[2])
	return fmt.Sprintf("127.0.0.1:%d", high<<8|low)
}

// data is an open data connection, whose TLS begins with the first use.
func (q *probe) data() (raw *net.TCPConn, conn net.Conn) {
	q.t.Helper()
	c, err := net.Dial("tcp", q.passive())
	must(q.t, err)
	q.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	raw, conn = c.(*net.TCPConn), c
	if q.secure {
		conn = tls.Client(c, q.tls)
	}
	return raw, conn
}

// transfer runs a command with a data connection and tells, behind the codes, what came over it: bytes for RETR, lines for others.
func (q *probe) transfer(command string) string {
	q.t.Helper()
	raw, conn := q.data()
	defer func() { _ = raw.Close() }()
	verb, _, _ := strings.Cut(command, " ")
	q.send(command + "\r\n")
	code, err := q.reply(patience)
	if err != nil || code[0] != '1' {
		if err != nil {
			code = map[error]string{errSilent: "-", errClosed: "x"}[err]
		}
		return code
	}
	if verb == "STOR" || verb == "APPE" || verb == "STOU" {
		_, _ = io.WriteString(conn, "uploaded\n")
		_ = conn.Close()
		return code + "+" + q.replies()
	}
	got, _ := io.ReadAll(conn)
	_ = conn.Close()
	count := fmt.Sprintf("%d bytes", len(got))
	if verb != "RETR" {
		count = fmt.Sprintf("%d lines", bytes.Count(got, []byte("\n")))
	}
	return code + "+" + q.replies() + " " + count
}

// tricks are probes that are more than a command and its reply.
var tricks = map[string]func(q *probe, name string) string{
	// The client's half of the connection ends, and its TLS does not: what a network does that cuts a transfer off.
	"cut-by-fin": func(q *probe, name string) string {
		return q.upload(name, func(raw *net.TCPConn) { _ = raw.CloseWrite() })
	},
	"cut-by-reset": func(q *probe, name string) string {
		return q.upload(name, func(raw *net.TCPConn) { _ = raw.SetLinger(0); _ = raw.Close() })
	},
	// Both replies to STOR and to ABOR while the client keeps its data connection open, and what is missing then after it has closed it.
	"abor": func(q *probe, name string) string {
		raw, conn := q.data()
		q.send("STOR " + name + "\r\n")
		opened, _ := q.reply(patience)
		_, _ = conn.Write([]byte("half of a file"))
		time.Sleep(200 * time.Millisecond) // the server reads it
		q.send("ABOR\r\n")
		before := q.replies()
		if before != "-" {
			before += "+" + q.replies()
		}
		_ = raw.Close()
		if strings.HasSuffix(before, "-") {
			before += " then " + q.replies() + q.surplus()
		}
		return opened + "+" + before
	},
	// QUIT while the upload runs: is it stored, and does the client hear so?
	"quit": func(q *probe, name string) string {
		raw, conn := q.data()
		q.send("STOR " + name + "\r\n")
		code, _ := q.reply(patience)
		_, _ = io.WriteString(conn, "first half")
		q.send("QUIT\r\n")
		time.Sleep(100 * time.Millisecond)
		_, _ = io.WriteString(conn, ", second half")
		_ = conn.Close()
		_ = raw.Close()
		stored := "lost"
		codes := code + "+" + q.replies() + "+" + q.replies()
		if info, err := os.Stat(q.p.home + "/" + name); err == nil && info.Size() == 23 {
			stored = "stored"
		}
		return codes + " " + stored
	},
	// Another address connects to the port first, and says nothing.
	"stranger": func(q *probe, name string) string {
		to := q.passive()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		if stranger, err := dialer.Dial("tcp", to); err == nil {
			defer stranger.Close()
		}
		return q.fetch(to, q.tls, name)
	},
	// The data connection presents the TLS session of another control connection.
	"other-session": func(q *probe, name string) string {
		other := q.p.open(q.t, q.tls)
		defer other.raw.Close()
		other.login()
		return q.fetch(q.passive(), other.tls, name)
	},
	"no-session": func(q *probe, name string) string {
		cfg := q.tls.Clone()
		cfg.ClientSessionCache = nil
		return q.fetch(q.passive(), cfg, name)
	},
	// A command rides behind AUTH in one packet: is it executed?
	"inject": func(q *probe, name string) string {
		q.send("AUTH TLS\r\n" + name + "\r\n")
		code := q.replies()
		if q.encrypt() != nil {
			return code + "+x"
		}
		return code + q.surplus()
	},
	"starttls": func(q *probe, _ string) string {
		q.send("AUTH TLS\r\n")
		code := q.replies()
		must(q.t, q.encrypt())
		return code
	},
}

// upload begins to store name, ends as told, and returns the codes.
func (q *probe) upload(name string, end func(raw *net.TCPConn)) string {
	q.t.Helper()
	raw, conn := q.data()
	q.send("STOR " + name + "\r\n")
	code, err := q.reply(patience)
	if err != nil {
		return "-"
	}
	_, _ = conn.Write(bytes.Repeat([]byte("half of a file\n"), 3000))
	time.Sleep(50 * time.Millisecond) // to be read, so that a reset is seen behind the data
	end(raw)
	return code + "+" + q.replies()
}

// fetch reads a file over a data connection to an address.
func (q *probe) fetch(to string, cfg *tls.Config, name string) string {
	q.t.Helper()
	raw, err := net.Dial("tcp", to)
	if err != nil {
		return "no connection"
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(2 * patience))
	q.send("RETR " + name + "\r\n")
	codes, err := q.reply(patience)
	if err != nil {
		codes = "-"
	}
	got, _ := io.ReadAll(tls.Client(raw, cfg))
	_ = raw.Close()
	if codes[0] == '1' {
		codes += "+" + q.replies()
	}
	return fmt.Sprintf("%s %d bytes", codes, len(got))
}
