// Package certs holds the TLS configuration of the listeners and follows the certificate files when they change.
//
// It knows no FTP and no sessions: the server asks for a configuration at each new control connection.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/logs"
)

// Source gives the current TLS configuration. Make one with Load.
type Source struct {
	log *slog.Logger

	mu      sync.Mutex
	set     *Set
	stamps  []stamp
	checked time.Time
}

// Set is what one reading of the files gave.
type Set struct {
	from    config.TLS
	tls     *tls.Config
	revoked *revocation // nil: nobody asks
}

// stamp tells a file from its next version. Its zero value stands for a missing file.
type stamp struct {
	modified time.Time
	size     int64
}

// pause is how long the files are taken for unchanged after a look at them.
const pause = time.Second

// Read reads the files. Its error says which one is wrong, and never what is in it.
func Read(from config.TLS) (*Set, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if from.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	for i, files := range from.Certificates {
		cert, err := pair(files, fmt.Sprintf("tls.certificates[%d]", i))
		if err != nil {
			return nil, err
		}
		c.Certificates = append(c.Certificates, cert)
	}
	if from.ClientCA != "" {
		pem, err := read("client CA", from.ClientCA, "tls.clientCA")
		if err != nil {
			return nil, err
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the client CA file %s holds no certificate in PEM format (tls.clientCA)", from.ClientCA)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if from.StrictSNI {
		c.GetConfigForClient = knownHost(c.Certificates)
	}
	revoked, err := readCRLs(from.ClientCRLs)
	if err != nil {
		return nil, err
	}
	return &Set{from: from, tls: c, revoked: revoked}, nil
}

// Load returns a Source that begins with what the files hold now.
func Load(from config.TLS, log *slog.Logger) (*Source, error) {
	s := &Source{log: log}
	set, err := Read(from)
	if err != nil {
		return nil, err
	}
	s.Use(set)
	return s, nil
}

// Use makes set the current one.
func (s *Source) Use(set *Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(set)
	s.stamps, s.checked = stamps(set.from), time.Now()
	for i, c := range set.tls.Certificates {
		if left := time.Until(c.Leaf.NotAfter); left < 7*24*time.Hour {
			s.log.Warn("certificate ends soon or has ended", logs.File, set.from.Certificates[i].Cert, logs.Until, c.Leaf.NotAfter)
		}
	}
}

// put makes set the current one; s.mu is held. Sessions keep the configuration that they began with, but for revocations.
func (s *Source) put(set *Set) {
	set.tls.VerifyConnection = s.verify
	s.set = set
}

// verify is called in every handshake, in those that resume a session as well (crypto/tls, Config.VerifyConnection).
func (s *Source) verify(cs tls.ConnectionState) error {
	s.mu.Lock()
	revoked := s.set.revoked
	s.mu.Unlock()
	return revoked.check(cs.VerifiedChains)
}

// knownHost refuses a client that names a host which no certificate has (RFC 6066 3). One that names none is served.
func knownHost(certificates []tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "" {
			return nil, nil
		}
		for _, c := range certificates {
			if c.Leaf.VerifyHostname(hello.ServerName) == nil {
				return nil, nil
			}
		}
		return nil, fmt.Errorf("no certificate is for the host %q that the client names", hello.ServerName)
	}
}

// TLS returns the current configuration; callers do not change it. Files that have changed are read first. If what they hold is
// no good, the log says so once and the old configuration stays.
func (s *Source) TLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.checked) < pause {
		return s.set.tls
	}
	s.checked = time.Now()
	now := stamps(s.set.from)
	for i := range now {
		if now[i] == s.stamps[i] {
			continue
		}
		s.stamps = now
		set, err := Read(s.set.from)
		if err != nil {
			s.log.Error("the new certificates are not usable: the old ones stay", logs.Error, err)
			break
		}
		s.put(set)
		s.log.Info("new certificates are in use")
		break
	}
	return s.set.tls
}

func stamps(from config.TLS) []stamp {
	var all []stamp
	add := func(file string) {
		var st stamp
		if info, err := os.Stat(file); err == nil {
			st = stamp{info.ModTime(), info.Size()}
		}
		all = append(all, st)
	}
	for _, c := range from.Certificates {
		add(c.Cert)
		add(c.Key)
	}
	if from.ClientCA != "" {
		add(from.ClientCA)
	}
	for _, file := range from.ClientCRLs {
		add(file)
	}
	return all
}

func pair(files config.Certificate, path string) (tls.Certificate, error) {
	cert, err := read("certificate", files.Cert, path+".cert")
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := read("key", files.Key, path+".key")
	if err != nil {
		return tls.Certificate{}, err
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return c, fmt.Errorf("the certificate %s and the key %s are not a pair in PEM format (%s): %w", files.Cert, files.Key, path, err)
	}
	return c, nil
}

func read(what, file, path string) ([]byte, error) {
	p, err := os.ReadFile(file)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s %s: %w (%s)", what, file, err, path)
	}
	return p, nil
}
