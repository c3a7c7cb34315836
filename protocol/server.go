// Package protocol is the FTPS server: listeners, the session loop, the command table with its handlers, and replies. It
// knows the tree of a user as vfs.FS and decides nothing about who that user is: the Driver does. cmd/sluice is its caller.
package protocol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Mode is how TLS begins on a control connection.
type Mode int

// Modes of a listener.
const (
	Explicit Mode = iota // AUTH TLS (RFC 4217)
	Implicit             // TLS from the first byte
)

// Causes of a transfer's end that are not the data connection's own.
var (
	errAborted  = errors.New("aborted by the client")
	errLost     = errors.New("control connection lost")
	errShutdown = errors.New("server shutting down")
)

// Server serves FTPS control connections. Make one with New.
type Server struct {
	cfg      Config
	commands map[string]*command
	site     map[string]*command
	ctx      context.Context // of all sessions; ends when the grace of Shutdown is over
	cancel   context.CancelCauseFunc
	draining chan struct{}
	wg       sync.WaitGroup // sessions
	late     sync.WaitGroup // those that came after Shutdown had begun, to be refused
	renames  sync.Map       // the *attempt at each wish

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  int
	strangers map[netip.Addr]int // sessions without a login, by client address
	shut      bool               // draining is closed
	closed    bool               // nobody is waited for any more
}

// New checks the configuration and returns a Server. Its sessions have the values of ctx, but do not end with it: Shutdown ends them.
func New(ctx context.Context, cfg Config) (*Server, error) {
	switch {
	case cfg.Driver == nil:
		return nil, errors.New("protocol: Config.Driver is needed")
	case cfg.TLS == nil && !cfg.AllowPlain:
		return nil, errors.New("protocol: Config.TLS is needed unless AllowPlain is set")
	case cfg.Passive == nil:
		return nil, errors.New("protocol: Config.Passive is needed")
	}
	setDefault(&cfg.MaxSessions, 20_000)
	setDefault(&cfg.Greeting, "Sluice ready")
	setDefault(&cfg.LoginTimeout, time.Minute)
	setDefault(&cfg.IdleTimeout, 5*time.Minute)
	setDefault(&cfg.ConnectTimeout, 30*time.Second)
	setDefault(&cfg.StallTimeout, 2*time.Minute)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, commands: commandTable(), site: siteTable(), draining: make(chan struct{}), listeners: map[net.Listener]struct{}{}, strangers: map[netip.Addr]int{}}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return s, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Serve accepts control connections on l until Shutdown is done, then returns nil; an error of l otherwise. It closes l. It may be
// called for several listeners.
func (s *Server) Serve(l net.Listener, mode Mode) error {
	defer l.Close()
	if mode == Implicit && s.cfg.TLS == nil {
		return errors.New("protocol: an implicit listener needs Config.TLS")
	}
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept: %w", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Logger.Warn("accept failed", "listener", l.Addr().String(), "error", err)
			time.Sleep(pause)
			continue
		}
		pause = 0
		remote := addrPort(conn.RemoteAddr()).Addr()
		group, refusal := s.enter(remote)
		if group == nil {
			_ = conn.Close()
			return nil
		}
		go func() {
			defer s.leave(group)
			if group == &s.late { // the end does not wait for who is silent
				defer context.AfterFunc(s.ctx, func() { _ = conn.Close() })()
			}
			serve(s, conn, mode, refusal)
		}()
	}
}

// enter counts a new session in and returns who waits for it; nil when Shutdown is done. It is refused where it is one too many,
// where its address has half of all sessions and has not logged in to them, and while Shutdown waits for others.
func (s *Server) enter(remote netip.Addr) (group *sync.WaitGroup, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ""
	}
	s.sessions++
	s.strangers[remote]++
	group = &s.wg
	switch {
	case s.shut:
		group, refusal = &s.late, "Server is shutting down; try again later"
	case s.sessions > s.cfg.MaxSessions, s.strangers[remote] > max(1, s.cfg.MaxSessions/2):
		refusal = "Too many connections; try again later"
	}
	group.Add(1)
	return group, refusal
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// introduce counts a session out of those without a login.
func (s *Server) introduce(remote netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strangers[remote]--; s.strangers[remote] == 0 {
		delete(s.strangers, remote)
	}
}

func (s *Server) leave(group *sync.WaitGroup) {
	s.mu.Lock()
	s.sessions--
	s.mu.Unlock()
	group.Done()
}

// Shutdown tells sessions 421 as soon as they have no transfer, waits for the transfers until ctx ends, then cuts them with 426.
// Whoever connects meanwhile hears 421 and not a refused connection, which many clients take for good. It stops listening and
// returns when no session is left; the error is that of ctx if it had to cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.shut {
		s.shut = true
		close(s.draining)
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.cancel(errShutdown)
	<-done
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.late.Wait()
	return err
}
