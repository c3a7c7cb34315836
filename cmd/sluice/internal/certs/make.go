package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"sluice/cmd/sluice/internal/config"
)

// Files that Make leaves in its directory.
const (
	caFile   = "ca.crt"
	certFile = "server.crt"
	keyFile  = "server.key"
)

// lifetime of what Make makes; renewal is how long before its end Make makes anew.
const (
	lifetime = 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour
)

// Make returns a certificate for hosts, which are names and addresses, and the file with the CA that clients must trust. It makes
// both in dir unless they are there already, fit, and last for another month. The key of the CA is kept nowhere: nobody can
// ever certify anything else with it.
func Make(dir string, hosts []string) (cert config.Certificate, ca string, err error) {
	cert = config.Certificate{Cert: filepath.Join(dir, certFile), Key: filepath.Join(dir, keyFile)}
	ca = filepath.Join(dir, caFile)
	if fits(cert, ca, hosts) {
		return cert, ca, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cert, ca, fmt.Errorf("make the directory of the certificate: %w", err)
	}
	if err := issue(cert, ca, hosts); err != nil {
		return cert, ca, fmt.Errorf("make a certificate: %w", err)
	}
	return cert, ca, nil
}

func fits(files config.Certificate, ca string, hosts []string) bool {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	if p, err := os.ReadFile(ca); err != nil || !roots.AppendCertsFromPEM(p) {
		return false
	}
	for _, h := range hosts {
		opts := x509.VerifyOptions{Roots: roots, DNSName: h, CurrentTime: time.Now().Add(renewal)}
		if _, err := pair.Leaf.Verify(opts); err != nil {
			return false
		}
	}
	return true
}

func issue(files config.Certificate, ca string, hosts []string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := template("Sluice demo CA")
	root.IsCA, root.BasicConstraintsValid, root.MaxPathLenZero = true, true, true
	root.KeyUsage = x509.KeyUsageCertSign
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leaf := template("Sluice demo")
	leaf.BasicConstraintsValid = true
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
		mode       os.FileMode
	}{{ca, "CERTIFICATE", rootDER, 0o644}, {files.Cert, "CERTIFICATE", leafDER, 0o644}, {files.Key, "PRIVATE KEY", keyDER, 0o600}} {
		if err := os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), f.mode); err != nil {
			return err
		}
	}
	return nil
}

func template(name string) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails
	serial[0] &= 0x7f // positive (RFC 5280, section 4.1.2.2)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
	}
}
