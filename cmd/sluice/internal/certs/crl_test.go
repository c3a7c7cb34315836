package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/cmd/sluice/internal/config"
)

// authority issues client certificates and revocation lists.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}, &key.PublicKey)
	return a
}

func (a *authority) sign(tmpl *x509.Certificate, pub *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// client returns a certificate with a serial number.
func (a *authority) client(serial int64) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// crl returns a list in DER, current until a time from now.
func (a *authority) crl(until time.Duration, serials ...int64) []byte {
	a.t.Helper()
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(until)}
	for _, s := range serials {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// shake does a handshake on a connection and returns what the server says of it.
func shake(t *testing.T, server, client *tls.Config) (cs tls.ConnectionState, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := tls.Dial("tcp", l.Addr().String(), client)
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 1)) // takes the ticket in
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Server(conn, server)
	if err = s.Handshake(); err == nil {
		_, err = s.Write([]byte("x"))
	}
	cs = s.ConnectionState()
	_ = s.Close()
	<-done
	return cs, err
}

// TestCRL: whoever stands on a list is refused, and everybody where there is no current list of the issuer.
func TestCRL(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	good, bad := ca.client(10), ca.client(11)
	inPEM := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	for _, c := range []struct {
		name      string
		crls      [][]byte
		good, bad bool
	}{
		{"none", nil, true, true},
		{"revoked", [][]byte{ca.crl(time.Hour, 11)}, true, false},
		{"in PEM", [][]byte{inPEM(ca.crl(time.Hour, 5, 11, 12))}, true, false},
		{"two in one file", [][]byte{append(inPEM(other.crl(time.Hour)), inPEM(ca.crl(time.Hour, 11))...)}, true, false},
		{"several files", [][]byte{other.crl(time.Hour, 10), ca.crl(time.Hour, 11)}, true, false},
		{"nobody revoked", [][]byte{ca.crl(time.Hour)}, true, true},
		{"expired", [][]byte{ca.crl(-time.Hour, 11)}, false, false},
		{"of another issuer", [][]byte{other.crl(time.Hour, 11)}, false, false},
		{"forged", [][]byte{newAuthority(t, "ca").crl(time.Hour)}, false, false},
		{"revoked on an older list", [][]byte{ca.crl(-time.Hour, 11), ca.crl(time.Hour)}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := source(t, ca, c.crls)
			for _, client := range []struct {
				cert tls.Certificate
				want bool
			}{{good, c.good}, {bad, c.bad}} {
				_, err := shake(t, s.TLS(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{client.cert}})
				if (err == nil) != client.want {
					t.Errorf("serial %v: %v", client.cert.Leaf.SerialNumber, err)
				}
			}
			if _, err := shake(t, s.TLS(), &tls.Config{InsecureSkipVerify: true}); err != nil {
				t.Errorf("no certificate: %v", err)
			}
		})
	}
}

func source(t *testing.T, ca *authority, crls [][]byte) *Source {
	t.Helper()
	dir := t.TempDir()
	own, _ := fresh(t, "localhost")
	cfg := config.TLS{Certificates: []config.Certificate{own}, ClientCA: filepath.Join(dir, "ca.crt")}
	if err := os.WriteFile(cfg.ClientCA, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, p := range crls {
		file := filepath.Join(dir, string(rune('a'+i))+".crl")
		if err := os.WriteFile(file, p, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.ClientCRLs = append(cfg.ClientCRLs, file)
	}
	s, err := Load(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCRLResumed: a certificate that is revoked after its session began cannot be used to resume it, and the configuration that
// the session holds knows of it.
func TestCRLResumed(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := source(t, ca, [][]byte{ca.crl(time.Hour)})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := s.TLS().Clone()
		client := &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{ca.client(20)}, ServerName: "localhost",
			ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version,
		}
		for i := range 2 {
			if cs, err := shake(t, server, client); err != nil || cs.DidResume != (i > 0) {
				t.Fatalf("connection %d: resumed %v, %v", i, cs.DidResume, err)
			}
		}
		file := s.set.from.ClientCRLs[0]
		if err := os.WriteFile(file, ca.crl(time.Hour, 20), 0o600); err != nil {
			t.Fatal(err)
		}
		s.checked = time.Time{}
		s.TLS() // a new control connection looks at the files
		if _, err := shake(t, server, client); err == nil {
			t.Error("a revoked certificate resumed its session")
		}
		if err := os.WriteFile(file, ca.crl(time.Hour), 0o600); err != nil {
			t.Fatal(err)
		}
		s.checked = time.Time{}
		s.stamps[len(s.stamps)-1] = stamp{}
		s.TLS()
	}
}

func TestCRLUnreadable(t *testing.T) {
	own, _ := fresh(t, "localhost")
	file := filepath.Join(t.TempDir(), "x.crl")
	for _, p := range []string{"", "no list", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"} {
		if err := os.WriteFile(file, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(config.TLS{Certificates: []config.Certificate{own}, ClientCRLs: []string{file}}); err == nil {
			t.Errorf("%q was read", p)
		}
	}
}

// TestStrictSNI: a client that names another host is refused; one that names none is served.
func TestStrictSNI(t *testing.T) {
	own, _ := fresh(t, "ftp.example.org")
	set, err := Read(config.TLS{Certificates: []config.Certificate{own}, StrictSNI: true})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"": true, "ftp.example.org": true, "www.example.org": false} {
		if _, err := shake(t, set.tls, &tls.Config{InsecureSkipVerify: true, ServerName: host}); (err == nil) != want {
			t.Errorf("%q: %v", host, err)
		}
	}
}
