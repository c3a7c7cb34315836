//go:build e2e

package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ftpClient is an FTPS client that can end its connections in every wrong way.
type ftpClient struct {
	t    *testing.T
	text *textproto.Conn
	tls  *tls.Config
}

// roots trust the server's certificate.
func (d *daemon) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(d.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

func (d *daemon) dial() *ftpClient {
	d.t.Helper()
	cfg := &tls.Config{RootCAs: d.roots(d.t), ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(2)}
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.implicit), cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	c := &ftpClient{t: d.t, text: textproto.NewConn(conn), tls: cfg}
	d.t.Cleanup(func() { _ = c.text.Close() })
	c.expect(220)
	c.cmd(331, "USER %s", user)
	c.cmd(230, "PASS %s", password)
	c.cmd(200, "TYPE I")
	return c
}

func (c *ftpClient) expect(code int) string {
	c.t.Helper()
	_, msg, err := c.text.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("want %d: %v", code, err)
	}
	return msg
}

func (c *ftpClient) cmd(code int, format string, args ...any) string {
	c.t.Helper()
	if err := c.text.PrintfLine(format, args...); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

var epsvPort = regexp.MustCompile(`\|\|\|(\d+)\|`)

// upload begins a STOR and sends data, without an end.
func (c *ftpClient) upload(name string, data io.Reader) (*tls.Conn, *net.TCPConn) {
	c.t.Helper()
	port := epsvPort.FindStringSubmatch(c.cmd(229, "EPSV"))[1]
	raw, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = raw.Close() })
	c.cmd(150, "STOR %s", name)
	conn := tls.Client(raw, c.tls)
	if _, err := io.Copy(conn, data); err != nil {
		c.t.Fatal(err)
	}
	return conn, raw.(*net.TCPConn)
}

// TestE2ECutOff cuts uploads in every way that a client or a network can, where they cannot be resumed. The client hears 426
// if it listens; nothing is published; an older file of that name stays; and the store holds no half of an upload. A part that a busy
// machine answers later than backend/gcs waits for it would be left to the sweep, so nothing else runs meanwhile.
func TestE2ECutOff(t *testing.T) {
	inTurn(t, everywhere, func(t *testing.T, d *daemon) {
		old := func() *ftpClient {
			c := d.dial()
			conn, _ := c.upload("old", strings.NewReader("as it was"))
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			c.expect(226)
			return c
		}()
		for _, size := range []int64{1000, 30 << 20} { // one that would be a single request, one in parts
			for name, cut := range map[string]func(c *ftpClient, conn *tls.Conn, raw *net.TCPConn){
				"FIN": func(c *ftpClient, _ *tls.Conn, raw *net.TCPConn) {
					_ = raw.CloseWrite()
					c.expect(426)
				},
				"RST": func(c *ftpClient, _ *tls.Conn, raw *net.TCPConn) {
					_ = raw.SetLinger(0)
					_ = raw.Close()
					c.expect(426)
				},
				"ABOR": func(c *ftpClient, _ *tls.Conn, _ *net.TCPConn) {
					c.cmd(426, "ABOR")
					c.expect(226)
				},
				"control connection lost": func(c *ftpClient, _ *tls.Conn, _ *net.TCPConn) {
					_ = c.text.Close()
				},
			} {
				t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
					for _, target := range []string{"old", "new"} {
						c := d.dial()
						conn, raw := c.upload(target, randomBytes(3, size))
						cut(c, conn, raw)
					}
					d.untouched(old)
				})
			}
		}
		t.Run("kill -9", func(t *testing.T) {
			for _, target := range []string{"old", "new"} {
				cmd := d.curl("--limit-rate", "20M", "-T", "-", d.url(false, target))
				cmd.Stdin = randomBytes(4, gib)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1500 * time.Millisecond) // some 30 MB, several parts
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
			}
			d.untouched(old)
		})
	}, adding("transfer: {resume: 0s}"))
}

// untouched checks that the store is as before the cut uploads. The server may still be cleaning up.
func (d *daemon) untouched(c *ftpClient) {
	d.t.Helper()
	if got := c.cmd(213, "SIZE old"); got != fmt.Sprint(len("as it was")) {
		d.t.Errorf("the old file has %s bytes now", got)
	}
	c.cmd(550, "SIZE new")
	if got := run(d.t, d.curl(d.url(false, "old"))); got != "as it was" {
		d.t.Errorf("the old file is %q now", got)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := d.uploads()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("left behind: %v", left)
		}
	}
}
