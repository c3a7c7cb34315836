package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cmd/sluice/internal/config"
)

// make returns a fresh certificate in a directory of its own.
func fresh(t *testing.T, hosts ...string) (config.Certificate, string) {
	t.Helper()
	c, ca, err := Make(filepath.Join(t.TempDir(), "tls"), hosts)
	if err != nil {
		t.Fatal(err)
	}
	return c, ca
}

func TestMake(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	c, ca, err := Make(dir, hosts)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	p, err := os.ReadFile(ca)
	if err != nil || !roots.AppendCertsFromPEM(p) {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "[::1]": true, "example.org": false} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != want {
			t.Errorf("verify for %s: %v", host, err)
		}
	}
	if info, err := os.Stat(c.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is readable by others: %v, %v", info.Mode(), err)
	}

	before, _ := os.ReadFile(c.Cert)
	again := func(hosts ...string) []byte {
		t.Helper()
		if _, _, err := Make(dir, hosts); err != nil {
			t.Fatal(err)
		}
		p, err := os.ReadFile(c.Cert)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if !bytes.Equal(before, again(hosts...)) {
		t.Error("a certificate that fits was replaced")
	}
	if bytes.Equal(before, again(append(hosts, "ftp.example.org")...)) {
		t.Error("a certificate that lacks a name was kept")
	}
	if err := os.WriteFile(ca, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	before = again(hosts...)
	if !bytes.Equal(before, again(hosts...)) {
		t.Error("it was not repaired")
	}
}

func TestRead(t *testing.T) {
	one, ca := fresh(t, "a.example")
	two, _ := fresh(t, "b.example")
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := Read(config.TLS{Certificates: []config.Certificate{one, two}, ClientCA: ca, MinVersion: "1.3"})
	if err != nil {
		t.Fatal(err)
	}
	if c := set.tls; c.MinVersion != tls.VersionTLS13 || len(c.Certificates) != 2 || c.ClientAuth != tls.VerifyClientCertIfGiven || c.ClientCAs == nil {
		t.Errorf("%+v", c)
	}
	for _, tt := range []struct {
		from config.TLS
		want string
	}{
		{config.TLS{Certificates: []config.Certificate{{Cert: "/no/such.crt", Key: one.Key}}},
			"cannot read the certificate /no/such.crt: no such file or directory (tls.certificates[0].cert)"},
		{config.TLS{Certificates: []config.Certificate{one, {Cert: one.Cert, Key: "/no/such.key"}}},
			"cannot read the key /no/such.key: no such file or directory (tls.certificates[1].key)"},
		{config.TLS{Certificates: []config.Certificate{{Cert: one.Cert, Key: two.Key}}},
			"the certificate " + one.Cert + " and the key " + two.Key + " are not a pair in PEM format (tls.certificates[0]): tls: private key does not match public key"},
		{config.TLS{Certificates: []config.Certificate{{Cert: junk, Key: one.Key}}}, "are not a pair in PEM format"},
		{config.TLS{Certificates: []config.Certificate{one}, ClientCA: junk}, "the client CA file " + junk + " holds no certificate in PEM format (tls.clientCA)"},
		{config.TLS{Certificates: []config.Certificate{one}, ClientCA: "/no/ca"}, "cannot read the client CA /no/ca: no such file or directory (tls.clientCA)"},
	} {
		_, err := Read(tt.from)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Read(%v) = %v, want %s", tt.from, err, tt.want)
		}
	}
}

// A new certificate is used without a restart; one that is no good changes nothing and is reported once.
func TestReload(t *testing.T) {
	var log bytes.Buffer
	one, _ := fresh(t, "a.example")
	two, _ := fresh(t, "b.example")
	s, err := Load(config.TLS{Certificates: []config.Certificate{one}}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := s.TLS()
	host := func() string {
		s.mu.Lock()
		s.checked = time.Time{} // as if the pause were over
		s.mu.Unlock()
		return s.TLS().Certificates[0].Leaf.DNSNames[0]
	}
	if host() != "a.example" || s.TLS() != first {
		t.Error("the configuration changes while the files do not")
	}
	put := func(from, to string) {
		t.Helper()
		p, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, p, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	put(two.Cert, one.Cert)
	for range 3 {
		if h := host(); h != "a.example" {
			t.Fatalf("half of a new pair is in use: %s", h)
		}
	}
	if n := strings.Count(log.String(), "not usable"); n != 1 {
		t.Errorf("the bad pair was reported %d times: %s", n, log.String())
	}
	put(two.Key, one.Key)
	if h := host(); h != "b.example" {
		t.Errorf("the new pair is not in use: %s", h)
	}
	if err := os.Remove(one.Key); err != nil {
		t.Fatal(err)
	}
	if h := host(); h != "b.example" {
		t.Errorf("after the key was removed: %s", h)
	}
	three, _ := fresh(t, "c.example")
	set, err := Read(config.TLS{Certificates: []config.Certificate{three}})
	if err != nil {
		t.Fatal(err)
	}
	s.Use(set)
	if h := host(); h != "c.example" {
		t.Errorf("after Use: %s", h)
	}
}
