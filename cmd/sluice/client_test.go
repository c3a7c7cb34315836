package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"
)

// client speaks implicit FTPS, no more of it than these tests need.
type client struct {
	t     *testing.T
	tls   *tls.Config
	proxy string // PROXY header that begins every connection
	conn  net.Conn
	text  *textproto.Reader
}

// trust returns the client's side of a certificate that a CA file vouches for.
func trust(t *testing.T, ca string) *tls.Config {
	t.Helper()
	p, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p) {
		t.Fatal("no CA")
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(0)}
}

func (c *client) dial(address string) *tls.Conn {
	c.t.Helper()
	raw, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(raw, c.proxy); err != nil {
		c.t.Fatal(err)
	}
	return tls.Client(raw, c.tls)
}

// connect returns a client that has read the greeting.
func connect(t *testing.T, address string, cfg *tls.Config, proxy string) *client {
	t.Helper()
	c := &client{t: t, tls: cfg, proxy: proxy}
	c.conn = c.dial(address)
	c.text = textproto.NewReader(bufio.NewReader(c.conn))
	c.expect("220")
	return c
}

// expect reads a reply that begins with code.
func (c *client) expect(code string) string {
	c.t.Helper()
	n, text, err := c.text.ReadResponse(0)
	if err != nil {
		c.t.Fatalf("reading a reply: %v", err)
	}
	got := fmt.Sprint(n, " ", text)
	if !strings.HasPrefix(got, code) {
		c.t.Fatalf("reply %q, want %s", got, code)
	}
	return text
}

// do sends a command and expects a code.
func (c *client) do(command, code string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

// login expects the code of the final reply.
func (c *client) login(user, password, code string) {
	c.t.Helper()
	c.do("USER "+user, "331")
	c.do("PASS "+password, code)
}

// transfer sends or fetches over a data connection of its own, perhaps behind a "REST n; ", and returns what came, and the code of the final reply.
func (c *client) transfer(command, body string) (string, string) {
	c.t.Helper()
	c.do("PBSZ 0", "200")
	c.do("PROT P", "200")
	var port int
	reply := c.do("EPSV", "229")
	if _, err := fmt.Sscanf(reply[strings.Index(reply, "("):], "(|||%d|)", &port); err != nil {
		c.t.Fatalf("EPSV: %q", reply)
	}
	data := c.dial(fmt.Sprintf("127.0.0.1:%d", port))
	if rest, behind, ok := strings.Cut(command, "; "); ok {
		c.do(rest, "350")
		command = behind
	}
	c.do(command, "150")
	var got []byte
	if body != "" {
		if _, err := io.WriteString(data, body); err != nil {
			c.t.Fatal(err)
		}
		data.Close()
	} else {
		var err error
		if got, err = io.ReadAll(data); err != nil {
			c.t.Fatal(err)
		}
		data.Close()
	}
	n, _, err := c.text.ReadResponse(0)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(got), fmt.Sprint(n)
}
