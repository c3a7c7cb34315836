package wiretest

import (
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

var update = flag.Bool("update", false, "rewrite the transcripts with what the server answers")

// A transcript is a text file. Lines that begin with "#" and empty lines are comments. The first lines may configure the
// server, the others are what a client does, each followed by everything that it then sees:
//
//	@ key value       configuration, given to the server's maker
//	C: text           the client sends the text and CRLF; Go escapes stand for other bytes, a final \ leaves CRLF out
//	TLS [1.2]         the client does a handshake on the control connection
//	CLEAR notify|     the client leaves TLS on the control connection, with close_notify or without
//	FIN, RST          the client ends the control connection
//	WAIT duration     time goes by
//	D: open [addr]    the client connects to the port of the last 227 or 229, perhaps from another address
//	D: listen port    the client waits for the server to connect
//	D: accept         and takes that connection
//	D: tls [fresh|N]  and does a handshake, resuming the session of its control connection, none, or that of client N
//	D: eof, fin, rst  it ends the data connection: with close_notify and FIN, with FIN alone, with RST
//	D> text           it sends the text on the data connection
//	2: ...            any of these, done by a second client (up to 9)
//
//	S: text           the server sends a line
//	D< text           the server sends bytes on the data connection
//	D< EOF, FIN, RST  the server ends the data connection: with close_notify, with FIN alone, with RST
//	END               the server has ended the control connection, or TLS on it
//
// Ports stand as PORT in replies.

// Server is what a transcript runs against.
type Server struct {
	Network  *Network
	Explicit int // port of the listener for AUTH TLS
	Implicit int
	Client   *tls.Config // of a client that trusts the server
	Close    func()
}

// Run holds the dialogue in a file against a server. With the flag -update it writes what it saw into the file instead of
// comparing. It runs in a synctest bubble: time goes by only where the transcript says so.
func Run(t *testing.T, file string, start func(t *testing.T, config map[string]string) *Server) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		got := hold(t, string(text), start)
		switch {
		case got == string(text):
		case *update:
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s: the dialogue differs:\n%s", file, diff(string(text), got))
		}
	})
}

// hold runs the actions of a transcript and returns it with the observations that were made.
func hold(t *testing.T, text string, start func(*testing.T, map[string]string) *Server) string {
	config := map[string]string{}
	var out strings.Builder
	var r *runner
	begin := func() {
		r = &runner{t: t, clients: map[string]*client{}, server: start(t, config), implicit: strings.HasPrefix(config["listen"], "implicit"), slow: config["listen"] == "implicit-slow"}
	}
	defer func() {
		if r != nil {
			r.end()
		}
	}()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
			continue
		case strings.HasPrefix(line, "@ "):
			key, value, _ := strings.Cut(line[2:], " ")
			config[key] = value
			out.WriteString(line + "\n")
			continue
		}
		if observed.MatchString(line) {
			continue // made anew below
		}
		if r == nil {
			begin()
		}
		who := "1"
		action := line
		if len(line) > 3 && line[0] >= '2' && line[0] <= '9' && line[1:3] == ": " {
			who, action = line[:1], line[3:]
		}
		for _, seen := range r.client(who).greeting() {
			out.WriteString(prefix(who) + seen + "\n")
		}
		out.WriteString(line + "\n")
		if err := r.client(who).do(action); err != nil {
			t.Fatalf("%s\n%q: %v", out.String(), line, err)
		}
		synctest.Wait()
		for name, c := range r.sorted() {
			for _, seen := range c.observe() {
				out.WriteString(prefix(name) + seen + "\n")
			}
		}
	}
	return out.String()
}

var observed = regexp.MustCompile(`^([2-9]: )?(S: |D< |END$)`)

func prefix(who string) string {
	if who == "1" {
		return ""
	}
	return who + ": "
}

type runner struct {
	t        *testing.T
	server   *Server
	implicit bool
	slow     bool // the clients do not begin TLS by themselves
	clients  map[string]*client
	order    []string
}

func (r *runner) client(who string) *client {
	c := r.clients[who]
	if c == nil {
		c = &client{runner: r, cache: tls.NewLRUClientSessionCache(4), accepted: make(chan *Conn, 1)}
		r.clients[who] = c
		r.order = append(r.order, who)
	}
	return c
}

func (r *runner) sorted() func(func(string, *client) bool) {
	return func(yield func(string, *client) bool) {
		for _, who := range r.order {
			if !yield(who, r.clients[who]) {
				return
			}
		}
	}
}

func (r *runner) end() {
	for _, c := range r.clients {
		if c.control != nil {
			_ = c.control.conn.Close()
		}
		if c.data != nil {
			_ = c.data.conn.Close()
		}
		if c.listener != nil {
			_ = c.listener.Close()
		}
	}
	r.server.Close()
	for _, c := range r.clients {
		c.readers.Wait()
	}
}

// diff shows two texts line by line from the first difference on.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	from := max(0, i-3)
	cut := func(lines []string) string {
		return strings.Join(lines[min(from, len(lines)):min(i+12, len(lines))], "\n  ")
	}
	return fmt.Sprintf("line %d, want\n  %s\ngot\n  %s", i+1, cut(w), cut(g))
}
