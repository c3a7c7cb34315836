package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/cmd/sluice/internal/certs"
	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/logs"
	"sluice/protocol/auth"
)

// ports returns n free ports in a row, outside the range that the system takes for clients.
func ports(t testing.TB, n int) int {
	t.Helper()
	for range 500 {
		b := make([]byte, 2)
		rand.Read(b)
		first := 10000 + (int(b[0])<<8|int(b[1]))%20000
		free := 0
		for ; free < n; free++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+free))
			if err != nil {
				break
			}
			l.Close()
		}
		if free == n {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// lines is a log that a test can wait on.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns when the log holds n lines with text.
func (l *lines) wait(t *testing.T, text string, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); strings.Count(l.String(), text) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log does not hold %q %d times:\n%s", text, n, l)
		}
	}
}

// running is a server on a file store, in this process.
type running struct {
	dir, ca  string
	file     string // its configuration
	explicit string
	implicit string
	health   string
	log      *lines
	reload   chan os.Signal
	stop     func() error
}

// boot runs the configuration that text completes. It is read again at a signal only.
func boot(t *testing.T, text string) *running {
	t.Helper()
	return bootPolling(t, text, 0)
}

// bootPolling is boot with a look at the files every so often.
func bootPolling(t *testing.T, text string, poll time.Duration) *running {
	t.Helper()
	dir := t.TempDir()
	_, ca, err := certs.Make(dir, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	first := ports(t, 7)
	r := &running{
		dir: dir, ca: ca, file: filepath.Join(dir, "sluice.yaml"), log: &lines{}, reload: make(chan os.Signal),
		explicit: fmt.Sprintf("127.0.0.1:%d", first), implicit: fmt.Sprintf("127.0.0.1:%d", first+1), health: fmt.Sprintf("127.0.0.1:%d", first+2),
	}
	r.write(t, fmt.Sprintf("listen: {explicit: %q, implicit: %q}\npassive: {ports: %d-%d}\nadmin: {listen: %q}\n", r.explicit, r.implicit, first+3, first+6, r.health)+text)
	cfg, err := config.Load(r.file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- serve(ctx, cfg, options{
			Log: logs.New(r.log, slog.LevelInfo), Grace: 10 * time.Second, Reload: r.reload, Poll: poll, PassiveHost: "127.0.0.1",
			Load: func() (*config.Config, error) { return config.Load(r.file) }, Ready: func() { close(ready) },
		})
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("serve: %v", err)
	}
	return r
}

func (r *running) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *running) connect(t *testing.T) *client {
	t.Helper()
	return connect(t, r.implicit, trust(t, r.ca), "")
}

const base = `tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {local: {type: file, path: data}}
`

var hashed = sync.OnceValue(func() string { return auth.Hash([]byte("secret")) })

func account(name, more string) string {
	return fmt.Sprintf("  - {name: %s, password: %q, mounts: [{path: /, store: local}]%s}\n", name, hashed(), more)
}

func TestServe(t *testing.T) {
	r := boot(t, base+"users:\n"+account("ann", ", limits: {sessions: 1, fileBytes: 10}"))
	for _, path := range []string{"/healthz", "/readyz"} {
		res, err := http.Get("http://" + r.health + path)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	c := r.connect(t)
	c.login("ann", "wrong", "530")
	c.login("ann", "secret", "230")
	second := r.connect(t)
	second.login("ann", "secret", "421")
	if _, code := c.transfer("STOR a.txt", "hello"); code != "226" {
		t.Errorf("STOR: %s", code)
	}
	if _, code := c.transfer("STOR b.txt", "hello world"); code != "552" {
		t.Errorf("STOR beyond the limit: %s", code)
	}
	if got, code := c.transfer("RETR a.txt", ""); got != "hello" || code != "226" {
		t.Errorf("RETR: %q, %s", got, code)
	}
	c.do("SIZE b.txt", "550")
	if err := r.stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := net.Dial("tcp", r.health); err == nil {
		t.Error("the admin listener is still open")
	}
	if strings.Contains(r.log.String(), "secret") || strings.Contains(r.log.String(), "wrong") {
		t.Errorf("a password stands in the log:\n%s", r.log)
	}
}

// A program that is told to stop while it starts has not failed.
func TestStopBeforeStart(t *testing.T) {
	r := boot(t, base+"users:\n"+account("ann", ""))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(r.file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := serve(ctx, cfg, options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Errorf("serve: %v", err)
	}
}

// A reload changes users and limits for those who come, and drops nobody; a bad file changes nothing.
func TestReload(t *testing.T) {
	r := boot(t, base+"users:\n"+account("ann", ""))
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	old := r.connect(t)
	old.login("ann", "secret", "230")

	r.write(t, string(text)+"  - {name: bob}\n")
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "was not reloaded", 1)
	if !strings.Contains(r.log.String(), "users[1]") {
		t.Errorf("the log does not say what is wrong:\n%s", r.log)
	}
	second := r.connect(t)
	second.login("ann", "secret", "230")
	second.do("QUIT", "221")

	changed := strings.Replace(string(text), "name: ann", "name: eve", 1)
	changed = strings.Replace(changed, "path: data", "path: elsewhere", 1)
	r.write(t, changed)
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "was reloaded", 1)
	r.log.wait(t, "at the next start only", 1)
	c := r.connect(t)
	c.login("ann", "secret", "530")
	c.login("eve", "secret", "230")
	old.do("NOOP", "200")
	if _, code := old.transfer("STOR a.txt", "still here"); code != "226" {
		t.Errorf("STOR in an old session: %s", code)
	}

	// A store that did not exist at the start cannot be used yet: the users who need it keep the old file.
	r.write(t, strings.ReplaceAll(changed, "local", "other"))
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "the store other is new", 1)
	r.connect(t).login("eve", "secret", "230")

	// Certificates come with the reload.
	fresh, _, err := certs.Make(filepath.Join(r.dir, "fresh"), []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, strings.Replace(changed, "{cert: server.crt, key: server.key}", fmt.Sprintf("{cert: %s, key: %s}", fresh.Cert, fresh.Key), 1))
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "was reloaded", 2)
	connect(t, r.implicit, trust(t, filepath.Join(r.dir, "fresh", "ca.crt")), "").login("eve", "secret", "230")
	old.do("NOOP", "200")
}

// Behind a proxy the client's address is the one in the header, on control and data connections, and for limits on networks.
func TestProxyProtocol(t *testing.T) {
	r := boot(t, base+"proxyProtocol: {trusted: 127.0.0.1}\nusers:\n"+account("ann", ", from: 203.0.113.0/24"))
	cfg := trust(t, r.ca)
	header := func(ip string) string { return "PROXY TCP4 " + ip + " 192.0.2.1 4711 990\r\n" }
	connect(t, r.implicit, cfg, header("203.0.114.7")).login("ann", "secret", "530")
	connect(t, r.implicit, cfg, "").login("ann", "secret", "530")
	c := connect(t, r.implicit, cfg, header("203.0.113.7"))
	c.login("ann", "secret", "230")
	if _, code := c.transfer("STOR a.txt", "hello"); code != "226" {
		t.Errorf("STOR: %s", code)
	}
	if !strings.Contains(c.do("PASV", "227"), "(192,0,2,1,") {
		t.Error("PASV does not tell the address that the proxy was reached at")
	}
	r.log.wait(t, `"remote":"203.0.113.7:4711"`, 1)
}

func TestProxyProtocolRequired(t *testing.T) {
	for name, text := range map[string]string{
		"no header": "proxyProtocol: {trusted: 127.0.0.1, required: true}\n",
		"stranger":  "proxyProtocol: {trusted: 192.0.2.1, required: true}\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, base+text+"users:\n"+account("ann", ""))
			conn, err := net.Dial("tcp", r.explicit)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprint(conn, "USER ann\r\n")
			if p, err := io.ReadAll(conn); len(p) > 0 {
				t.Errorf("who does not come through the proxy is served: %q, %v", p, err)
			}
		})
	}
}

// A client certificate logs in alone, at USER.
func TestClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sap01"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r := boot(t, strings.Replace(base, "}]}", "}], clientCA: "+ca+"}", 1)+"users:\n"+
		"  - {name: sap01, certificate: {sha256: "+auth.Fingerprint(leaf)+"}, mounts: [{path: /, store: local}]}\n"+
		account("ann", ", certificate: {name: 'cn:sap01'}")+account("bob", ""))
	with := trust(t, r.ca)
	with.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}

	c := connect(t, r.implicit, with, "")
	c.do("USER sap01", "230")
	if _, code := c.transfer("STOR a.txt", "hello"); code != "226" {
		t.Errorf("STOR: %s", code)
	}
	connect(t, r.implicit, with, "").login("ann", "wrong", "530")
	connect(t, r.implicit, with, "").login("ann", "secret", "230")
	without := trust(t, r.ca)
	connect(t, r.implicit, without, "").login("sap01", "secret", "530")
	connect(t, r.implicit, without, "").login("ann", "secret", "530")
	connect(t, r.implicit, without, "").login("bob", "secret", "230")
}
