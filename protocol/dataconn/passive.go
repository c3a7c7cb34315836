package dataconn

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Match says how a passive data connection finds its session.
type Match int

const (
	MatchAuto     Match = iota // by TLS ticket, else by client address
	MatchAdaptive              // as MatchAuto, but a client that has resumed once must always resume
	MatchRequire               // by TLS ticket only
	MatchIP                    // by client address; tickets are not asked for
	MatchOff                   // whoever connects first
)

// Config of the passive listeners.
type Config struct {
	Host      string // address to bind; empty: all, IPv4 and IPv6
	FirstPort int
	LastPort  int
	Match     Match

	// HandshakeTimeout bounds the TLS handshake of a data connection from its first byte on, and how long a stranger may
	// stay silent; default 10 s.
	HandshakeTimeout time.Duration
	// PortTimeout is how long Expect waits for a port on which the client address has nothing pending; default 30 s.
	PortTimeout time.Duration

	Listen func(network, address string) (net.Listener, error) // nil: TCP with keepalive
	// Rejected is told of every connection that was closed because it belongs to nobody. It may be nil.
	Rejected func(remote netip.Addr, reason string)
	Logger   *slog.Logger // nil: nothing is logged
}

// keepAlive finds dead peers, and keeps NAT tables from forgetting quiet connections.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 30 * time.Second, Count: 4}

// maxUnmatched bounds the connections that have no session yet, on all ports together. One client address may have half of them.
const maxUnmatched = 4096

// Passive are the passive listeners, open always and shared by all sessions. Only a pending data connection, between PASV and
// the moment when it is matched, holds a place on a port; so a few ports serve any number of transfers.
type Passive struct {
	cfg    Config
	ports  []*port
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // accept loops and connections without a session

	mu        sync.Mutex
	unmatched int                // connections without a session
	from      map[netip.Addr]int // the same, by client address
	sessions  map[id]*Session    // that may be named by a ticket
	freed     chan struct{}      // closed and replaced whenever a place on a port becomes free
}

type port struct {
	number   int
	listener net.Listener
	pending  []*Expected // guarded by Passive.mu
}

// Listen opens every port, or none and returns an error. The end of ctx does not end what was opened: Close does.
func Listen(ctx context.Context, cfg Config) (*Passive, error) {
	if cfg.FirstPort < 1 || cfg.LastPort > 65535 || cfg.FirstPort > cfg.LastPort {
		return nil, fmt.Errorf("passive ports %d-%d: not a range of ports", cfg.FirstPort, cfg.LastPort)
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	if cfg.PortTimeout <= 0 {
		cfg.PortTimeout = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Passive{cfg: cfg, from: map[netip.Addr]int{}, sessions: map[id]*Session{}, freed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	listen := cfg.Listen
	if listen == nil {
		lc := net.ListenConfig{KeepAliveConfig: keepAlive}
		listen = func(network, address string) (net.Listener, error) { return lc.Listen(p.ctx, network, address) }
	}
	for n := cfg.FirstPort; n <= cfg.LastPort; n++ {
		l, err := listen("tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(n)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("passive port %d: %w", n, err), p.Close())
		}
		p.ports = append(p.ports, &port{number: n, listener: l})
	}
	for _, pt := range p.ports {
		p.wg.Go(func() { p.accept(pt) }) //nolint:contextcheck // connections end with Close, not with ctx
	}
	return p, nil
}

// Close closes the listeners and every connection that has no session yet, and waits for their goroutines.
func (p *Passive) Close() error {
	p.cancel()
	var errs []error
	for _, pt := range p.ports {
		errs = append(errs, pt.listener.Close())
	}
	p.wg.Wait()
	return errors.Join(errs...)
}

// Add makes s known, so that its tickets can be told from a stranger's. Remove ends that.
func (p *Passive) Add(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.shared.Load() {
		for _, o := range p.sessions {
			if o.family == s.family {
				o.shared.Store(true)
			}
		}
	}
	p.sessions[s.id] = s
}

// Remove forgets s.
func (p *Passive) Remove(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s.id)
}

// Expected is a data connection that a client was told to open.
type Expected struct {
	passive   *Passive
	port      *port
	session   *Session
	protected bool
	done      chan struct{} // closed when conn or err is set, or by Close
	ctx       context.Context
	cancel    context.CancelFunc

	since time.Time

	// Guarded by Passive.mu.
	wanted bool // by Conn: a transfer waits for it
	conn   *Conn
	err    error
	over   bool // no longer pending
}

// alone reports whether e needs a port on which its client address has nothing else pending: nothing but the address
// will tell whose connection it is. A client that has resumed before will resume again, and its ticket tells, unless it shares
// its tickets among sessions.
func (e *Expected) alone() bool {
	switch e.passive.cfg.Match {
	case MatchAuto, MatchAdaptive:
		return !e.protected || !e.session.resumed.Load() || e.session.shared.Load()
	case MatchRequire:
		return !e.protected
	}
	return true
}

// conflicts reports whether e and f may not be pending on one port. In clear the server may have to speak first, so such a
// connection is matched before it says anything, and shares with nobody.
func (e *Expected) conflicts(f *Expected) bool {
	if e.passive.cfg.Match != MatchOff && e.session.remote != f.session.remote {
		return false
	}
	return !e.protected || !f.protected || e.alone() && f.alone()
}

// stale is how long a pending connection may hold a port that somebody else needs before a transfer waits for it. Clients send the
// transfer command at once; some forget it.
const stale = 5 * time.Second

// Expect reserves a place for one data connection of s, under TLS if protected. Where every port is taken by other pending
// connections of the same client address it waits for one, up to Config.PortTimeout, and returns ErrNoPort then. A connection that
// no transfer has asked for gives its place up after a while.
func (p *Passive) Expect(ctx context.Context, s *Session, protected bool) (*Expected, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.PortTimeout, ErrNoPort)
	defer cancel()
	e := &Expected{passive: p, session: s, protected: protected, done: make(chan struct{})}
	for {
		p.mu.Lock()
		pt, freed := p.choose(e), p.freed
		var idle time.Duration
		if pt == nil {
			pt, idle = p.evict(e)
		}
		if pt != nil {
			e.port = pt
			e.ctx, e.cancel = context.WithCancel(p.ctx)
			e.since = time.Now()
			pt.pending = append(pt.pending, e)
			p.mu.Unlock()
			return e, nil
		}
		p.mu.Unlock()
		again := time.NewTimer(idle)
		select {
		case <-freed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, context.Cause(ctx)
		}
		again.Stop()
	}
}

// evict makes room for e on the port where that takes nothing but connections that are stale. Where there is none, it returns when
// to look again. p.mu is held.
func (p *Passive) evict(e *Expected) (*port, time.Duration) {
	wait := stale
	for _, pt := range p.ports {
		var last time.Duration // until all that is in the way is stale
		for _, f := range pt.pending {
			if e.conflicts(f) {
				last = max(last, stale-time.Since(f.since))
				if f.wanted {
					last = max(last, stale)
				}
			}
		}
		if last <= 0 {
			for _, f := range slices.Clone(pt.pending) {
				if e.conflicts(f) {
					p.end(f, nil, ErrNoConn)
				}
			}
			return pt, 0
		}
		wait = min(wait, last)
	}
	return nil, wait
}

// choose returns the first port for e behind a random one, among those with the fewest pending connections, so that it cannot be foretold.
func (p *Passive) choose(e *Expected) *port {
	var best *port
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	start := int(binary.BigEndian.Uint32(b[:]) >> 1)
	for i := range p.ports {
		pt := p.ports[(start+i)%len(p.ports)]
		free := true
		for _, f := range pt.pending {
			free = free && !e.conflicts(f)
		}
		if free && (best == nil || len(pt.pending) < len(best.pending)) {
			best = pt
		}
	}
	return best
}

// Port is the number that the client has to be told.
func (e *Expected) Port() int { return e.port.number }

// Protected reports whether the connection will be under TLS.
func (e *Expected) Protected() bool { return e.protected }

// Conn waits until the data connection is up, its handshake done. It returns ErrNoConn when ctx has run into its deadline,
// ErrNotResumed where policy demands a resumption that did not come, the cause of ctx otherwise. The caller owns the Conn.
func (e *Expected) Conn(ctx context.Context) (*Conn, error) {
	e.passive.mu.Lock()
	e.wanted = true
	e.passive.mu.Unlock()
	select {
	case <-e.done:
	case <-ctx.Done():
		e.Close()
		if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		return nil, ErrNoConn
	}
	e.passive.mu.Lock()
	defer e.passive.mu.Unlock()
	conn, err := e.conn, e.err
	e.conn = nil
	if conn == nil && err == nil {
		err = ErrNoConn
	}
	return conn, err
}

// Close gives the place up, and a connection that nobody fetched with it. It may be repeated.
func (e *Expected) Close() {
	e.passive.finish(e, nil, nil)
	e.passive.mu.Lock()
	conn := e.conn
	e.conn = nil
	e.passive.mu.Unlock()
	if conn != nil {
		conn.Abort()
	}
}

// finish ends the pending state of e with a connection, an error, or neither. It reports whether e was pending still.
func (p *Passive) finish(e *Expected, conn *Conn, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end(e, conn, err)
}

// end is finish with p.mu held.
func (p *Passive) end(e *Expected, conn *Conn, err error) bool {
	if e.over {
		return false
	}
	e.over, e.conn, e.err = true, conn, err
	if conn != nil && conn.resumed {
		e.session.resumed.Store(true)
	}
	for i, f := range e.port.pending {
		if f == e {
			e.port.pending = append(e.port.pending[:i], e.port.pending[i+1:]...)
			break
		}
	}
	close(p.freed)
	p.freed = make(chan struct{})
	close(e.done)
	e.cancel() // whoever else tries to become this connection
	return true
}
