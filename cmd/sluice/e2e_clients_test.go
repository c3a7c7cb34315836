//go:build e2e

package main_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
)

// programs are foreign clients as small programs under testdata/clients. Each takes the arguments that dialogue gives it.
//
// Each does the same, and dies at the first difference: a wrong password is refused with 530 (where the client allows a second
// try), MKD, MKD of what exists, CWD and PWD; it uploads an empty file, a small one with a space in its name, and BIG under a
// name beyond ASCII; reads every listing that it knows and compares names and sizes as it understood them; SIZE, MDTM; downloads
// all three and compares; renames the small one, deletes the empty one; downloads, deletes and renames what is missing, for
// which it has to hear 550; makes and removes a directory. It leaves BIG and the small file, which the test compares once more.
var programs = []struct {
	name     string
	argv     []string
	explicit bool // only explicit FTPS
}{
	{"commons-net", []string{"java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/commons-net.jar", "testdata/clients/Commons.java"}, false},
	{"basic-ftp", []string{"node", "testdata/clients/basic_ftp.js"}, false},
	{"Perl", []string{"perl", "testdata/clients/net_ftp.pl"}, false},
	{"Ruby", []string{"ruby", "testdata/clients/net_ftp.rb"}, true},
	{"PHP", []string{"php", "testdata/clients/ftp.php"}, true},
}

const (
	oddName   = "ünï 日本.bin"
	smallName = "renamed file"
	smallText = "a small file\n"
)

// dialogue is how a client is to connect, and what it works on.
type dialogue struct {
	implicit bool
	version  string // of TLS, 1.2 or 1.3
	dir      string // on the server, the client makes it
	big      string // a local file
}

// dialogues runs f for both ways to begin TLS and both versions, at the same time.
func dialogues(t *testing.T, d *daemon, big, client string, explicit bool, f func(t *testing.T, g dialogue)) {
	for _, implicit := range []bool{false, true} {
		for _, version := range []string{"1.2", "1.3"} {
			if implicit && explicit {
				continue
			}
			g := dialogue{implicit: implicit, version: version, big: big}
			g.dir = fmt.Sprintf("%s %s %s", client, g.mode(), version)
			t.Run(g.dir, func(t *testing.T) {
				t.Parallel()
				f(t, g)
			})
		}
	}
}

func (g dialogue) mode() string {
	if g.implicit {
		return "implicit"
	}
	return "explicit"
}

// client is a program of testdata/clients.
func (d *daemon) client(t *testing.T, argv []string, g dialogue, more ...string) *exec.Cmd {
	t.Helper()
	port := d.explicit
	if g.implicit {
		port = d.implicit
	}
	args := append(slices.Clone(argv[1:]), g.mode(), g.version, strconv.Itoa(port), d.ca, user, password, g.dir, g.big)
	cmd := exec.Command(tool(t, argv[0]), append(args, more...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH=../../.tools/node_modules", "OPENSSL_CONF=testdata/clients/openssl.cnf", "VERSION=TLSv"+g.version)
	return cmd
}

// stored is where the file store keeps a name of the user's tree.
func (d *daemon) stored(names ...string) string {
	return filepath.Join(append([]string{d.data}, names...)...)
}

// forgiving is a configuration for clients that all guess a wrong password once, from one address.
func forgiving(config string) string { return config + "throttle: {exempt: [127.0.0.1]}\n" }

// TestE2EClients runs the clients of testdata/clients over explicit and implicit FTPS, TLS 1.2 and 1.3.
func TestE2EClients(t *testing.T) {
	big, sum := randomFile(t, 10<<20)
	d := start(t, nil, forgiving)
	for _, p := range programs {
		dialogues(t, d, big, p.name, p.explicit, func(t *testing.T, g dialogue) {
			run(t, d.client(t, p.argv, g))
			if got := fileSum(t, d.stored(g.dir, oddName)); got != sum {
				t.Errorf("the big file has the sum %s, want %s", got, sum)
			}
			if got, err := os.ReadFile(d.stored(g.dir, smallName)); err != nil || string(got) != smallText {
				t.Errorf("the small file is %q, %v", got, err)
			}
		})
	}
}

// TestE2EClientGo runs github.com/jlaffaye/ftp, which resumes the TLS session of the control connection if it has a cache.
func TestE2EClientGo(t *testing.T) {
	path, sum := randomFile(t, 10<<20)
	d := start(t, nil, forgiving)
	for _, cache := range []bool{false, true} {
		dialogues(t, d, path, fmt.Sprintf("Go cache=%v", cache), false, func(t *testing.T, g dialogue) {
			c := d.connect(t, g, cache)
			if err := c.Login(user, "wrong"); !isCode(err, ftp.StatusNotLoggedIn) {
				t.Errorf("a wrong password: %v", err)
			}
			must(t, c.Login(user, password))
			must(t, c.MakeDir(g.dir))
			if err := c.MakeDir(g.dir); !isCode(err, ftp.StatusFileUnavailable) {
				t.Errorf("MKD of what exists: %v", err)
			}
			must(t, c.ChangeDir(g.dir))
			if dir, err := c.CurrentDir(); err != nil || dir != "/"+g.dir {
				t.Errorf("PWD: %q, %v", dir, err)
			}
			big, err := os.ReadFile(path)
			must(t, err)
			files := map[string][]byte{"empty": {}, "with space.txt": []byte(smallText), oddName: big}
			for name, data := range files {
				must(t, c.Stor(name, bytes.NewReader(data)))
			}
			entries, err := c.List("")
			must(t, err)
			for _, e := range entries {
				if data, ok := files[e.Name]; !ok || e.Size != uint64(len(data)) || e.Type != ftp.EntryTypeFile || time.Since(e.Time).Abs() > time.Hour {
					t.Errorf("listed: %+v", e)
				}
			}
			names, err := c.NameList("")
			must(t, err)
			slices.Sort(names)
			if !slices.Equal(names, slices.Sorted(maps.Keys(files))) || len(entries) != len(files) {
				t.Errorf("listed: %q", names)
			}
			for name, data := range files {
				r, err := c.Retr(name)
				must(t, err)
				got, err := io.ReadAll(r)
				must(t, errors.Join(err, r.Close()))
				if !bytes.Equal(got, data) {
					t.Errorf("%s came back different", name)
				}
			}
			must(t, c.Rename("with space.txt", smallName))
			must(t, c.Delete("empty"))
			_, missing := c.Retr("missing")
			for what, err := range map[string]error{"RETR": missing, "DELE": c.Delete("missing"), "RNFR": c.Rename("missing", "other")} {
				if !isCode(err, ftp.StatusFileUnavailable) {
					t.Errorf("%s of what is missing: %v", what, err)
				}
			}
			must(t, c.Quit())
			if got := fileSum(t, d.stored(g.dir, oddName)); got != sum {
				t.Errorf("the big file has the sum %s, want %s", got, sum)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isCode(err error, code int) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code == code
}

// connect is a client of github.com/jlaffaye/ftp that has read the greeting.
func (d *daemon) connect(t *testing.T, g dialogue, cache bool) *ftp.ServerConn {
	t.Helper()
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[g.version]
	cfg := &tls.Config{RootCAs: d.roots(t), ServerName: "localhost", MinVersion: version, MaxVersion: version}
	if cache {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	how, port := ftp.DialWithExplicitTLS(cfg), d.explicit
	if g.implicit {
		how, port = ftp.DialWithTLS(cfg), d.implicit
	}
	c, err := ftp.Dial(net.JoinHostPort("localhost", strconv.Itoa(port)), how, ftp.DialWithTimeout(time.Minute))
	must(t, err)
	return c
}

// TestE2ETail has clients upload that read nothing while they do. What the server has sent and they have not read when they
// close would make their kernel reset the connection, and the end of the file would be lost. The server asks for a client
// certificate too, which changes when TLS 1.3 sends tickets.
func TestE2ETail(t *testing.T) {
	const uploads = 20
	big, sum := randomFile(t, 10<<20)
	for name, d := range map[string]*daemon{
		"plain":              start(t, nil),
		"client certificate": start(t, nil, askCertificate),
	} {
		check := func(t *testing.T, g dialogue) {
			for i := range uploads {
				if got := fileSum(t, d.stored(g.dir, strconv.Itoa(i))); got != sum {
					t.Errorf("upload %d has the sum %s, want %s", i, got, sum)
				}
			}
		}
		g := dialogue{version: "1.3", big: big}
		for _, p := range programs {
			if p.name != "Perl" && p.name != "Ruby" {
				continue
			}
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := g
				g.dir = p.name
				run(t, d.client(t, p.argv, g, strconv.Itoa(uploads)))
				check(t, g)
			})
		}
		for _, cache := range []bool{false, true} {
			t.Run(fmt.Sprintf("Go cache=%v/%s", cache, name), func(t *testing.T) {
				t.Parallel()
				g := g
				g.dir = fmt.Sprintf("Go %v", cache)
				c := d.connect(t, g, cache)
				must(t, c.Login(user, password))
				must(t, c.MakeDir(g.dir))
				for i := range uploads {
					f, err := os.Open(big)
					must(t, err)
					must(t, c.Stor(fmt.Sprintf("%s/%d", g.dir, i), f))
					f.Close()
				}
				must(t, c.Quit())
				check(t, g)
			})
		}
	}
}

// askCertificate makes the server ask its clients for certificates, which they do not have.
func askCertificate(config string) string {
	return regexp.MustCompile(`key: (\S+)/key\.pem\}\]`).ReplaceAllString(config, `$0, clientCA: $1/cert.pem`)
}
