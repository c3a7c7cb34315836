package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"sluice/cmd/sluice/internal/bench/load"
	"sluice/cmd/sluice/internal/bench/nulls3"
	"sluice/cmd/sluice/internal/certs"
)

const (
	user     = "bench"
	password = "bench-password"
	bucket   = "bench"
)

// session is one client of a server.
type session interface {
	Store(ctx context.Context, name string, size int64) error
	Fetch(ctx context.Context, name string, size int64) error
	List(ctx context.Context, verb, dir string) (lines int, err error)
	Close() error
}

// server is one of those that are compared, while it runs.
type server struct {
	kind
	pid  int
	null *nulls3.Server // behind it; nil where it has a disk
	open func(ctx context.Context) (session, error)
	cmd  *exec.Cmd
	log  string
}

// kind says what a server is and how it is started.
type kind struct {
	name  string
	about string // for the page of results
	store bool   // it stands before the store, and not on the local disk
	verb  string // that lists a directory: MLSD, or what it knows instead
	start func(ctx context.Context, k kind, at place) (*server, error)
}

// place is where a server runs and what it can use.
type place struct {
	dir   string // its own
	data  string // the files of those that serve the local disk
	cert  string // PEM files of the server, and of the CA
	key   string
	tls   *tls.Config // the client's side
	store string      // URL of the store
	null  *nulls3.Server
	opts  options
}

// newPlace makes the certificate that all servers share.
func newPlace(dir string, opts options) (place, error) {
	cert, ca, err := certs.Make(filepath.Join(dir, "tls"), []string{"localhost"})
	if err != nil {
		return place{}, err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return place{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return place{
		dir: dir, data: filepath.Join(dir, "data"), cert: cert.Cert, key: cert.Key, opts: opts,
		tls: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13},
	}, nil
}

// file writes a file of the server's own.
func (p place) file(name, text string) (string, error) {
	path := filepath.Join(p.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// run starts a program whose control connections are on port, and waits until it listens there.
func run(ctx context.Context, k kind, at place, port int, target load.Target, program string, args ...string) (*server, error) {
	s := &server{kind: k, log: filepath.Join(at.dir, k.name+".log"), cmd: exec.CommandContext(ctx, program, args...)}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = log, log, at.dir
	lib := filepath.Join(at.opts.refs, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(at.opts.refs, "lib/x86_64-linux-gnu")
	s.cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+lib)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = s.cmd.Process.Pid
	target.Address, target.TLS = address(port), at.tls
	if target.User == "" {
		target.User, target.Password = user, password
	}
	s.open = func(ctx context.Context) (session, error) {
		c, err := load.Open(ctx, target)
		if err != nil {
			return nil, fmt.Errorf("log in: %w", err)
		}
		return c, nil
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Address)
		if err == nil {
			return s, conn.Close()
		}
		if time.Now().After(end) {
			s.stop()
			return nil, fmt.Errorf("%s does not listen: %s", k.name, s.tail())
		}
	}
}

// tail is the end of what the server has said.
func (s *server) tail() string {
	p, _ := os.ReadFile(s.log)
	return string(p[max(0, len(p)-2000):])
}

// stop ends the server and waits for it. Not every one of them goes when it is asked to.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(3*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	_ = s.cmd.Wait()
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// free returns the first of n ports in a row that are free, below those that the system takes for clients.
func free(ctx context.Context, n int) (int, error) {
	var config net.ListenConfig
	for first := 12000 + os.Getpid()%1000*15; first+n < 32000; first += n {
		k := 0
		for ; k < n; k++ {
			l, err := config.Listen(ctx, "tcp", address(first+k))
			if err != nil {
				break
			}
			_ = l.Close()
		}
		if k == n {
			return first, nil
		}
	}
	return 0, errors.New("no free ports")
}
