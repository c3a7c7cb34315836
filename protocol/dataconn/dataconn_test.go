package dataconn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

func selfSigned(t testing.TB) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

var local = netip.MustParseAddr("127.0.0.1")

// rig is passive ports with sessions on them.
type rig struct {
	t       *testing.T
	passive *Passive
	server  *tls.Config
	client  *tls.Config
}

func newRig(t *testing.T, cfg Config) *rig {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := l
	cfg.FirstPort = l.Addr().(*net.TCPAddr).Port
	cfg.LastPort = cfg.FirstPort
	cfg.Host = "127.0.0.1"
	cfg.Listen = func(string, string) (net.Listener, error) { return first, nil }
	p, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	r := &rig{t: t, passive: p}
	r.server, r.client = selfSigned(t)
	return r
}

// login makes a session as a control connection would, and the client's side of its TLS state.
func (r *rig) login(remote netip.Addr, maxVersion uint16) (*Session, *tls.Config) {
	s := NewSession(remote)
	r.passive.Add(s)
	client := r.client.Clone()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	client.MaxVersion = maxVersion
	a, b := tcpPair(r.t)
	done := make(chan error, 1)
	go func() {
		c := tls.Server(b, s.SetTLS(r.server))
		err := c.Handshake()
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		done <- err
	}()
	c := tls.Client(a, client)
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.t.Fatal(err)
	}
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	return s, client
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ch := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		ch <- c
	}()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b = <-ch
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func (r *rig) expect(s *Session, protected bool) *Expected {
	e, err := r.passive.Expect(r.t.Context(), s, protected)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(e.Close)
	return e
}

func (r *rig) dial(e *Expected, from string) net.Conn {
	c, err := r.tryDial(e, from)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) tryDial(e *Expected, from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(e.Port())))
	if err == nil {
		r.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// refused reports whether a client from an address gets nothing: a reset may reach it before its connect has returned.
func (r *rig) refused(e *Expected, from string, client *tls.Config) bool {
	c, err := r.tryDial(e, from)
	return err != nil || tls.Client(c, client).Handshake() != nil
}

func (r *rig) conn(e *Expected) *Conn {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	c, err := e.Conn(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Abort)
	return c
}

// versions runs a test under both versions of TLS.
func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	t.Run("1.2", func(t *testing.T) { f(t, tls.VersionTLS12) })
	t.Run("1.3", func(t *testing.T) { f(t, tls.VersionTLS13) })
}

func TestResume(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		r := newRig(t, Config{})
		s, client := r.login(local, version)
		for i := range 4 {
			e := r.expect(s, true)
			c := tls.Client(r.dial(e, "127.0.0.1"), client)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if got := r.conn(e); !got.Resumed() || !c.ConnectionState().DidResume {
				t.Errorf("connection %d did not resume", i)
			}
		}
	})
}

// TestTicketRoutes: two sessions of one address wait on one port, and each gets its own connection, whoever comes first.
func TestTicketRoutes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		r := newRig(t, Config{})
		var sessions [2]*Session
		var clients [2]*tls.Config
		for i := range sessions {
			sessions[i], clients[i] = r.login(local, version)
			sessions[i].resumed.Store(true)
		}
		e0, e1 := r.expect(sessions[0], true), r.expect(sessions[1], true)
		c1 := tls.Client(r.dial(e1, "127.0.0.1"), clients[1])
		c0 := tls.Client(r.dial(e0, "127.0.0.1"), clients[0])
		for i, c := range []*tls.Conn{c1, c0} {
			if err := c.Handshake(); err != nil {
				t.Fatal(i, err)
			}
		}
		for i, pair := range []struct {
			c *tls.Conn
			e *Expected
		}{{c0, e0}, {c1, e1}} {
			conn := r.conn(pair.e)
			if _, err := pair.c.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1)
			if _, err := io.ReadFull(conn, b); err != nil || b[0] != byte(i) {
				t.Errorf("session %d read %v, %v", i, b, err)
			}
		}
	})
}

func TestForeignTicketRefused(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		r := newRig(t, Config{})
		owner, ownerClient := r.login(local, version)
		_, thief := r.login(local, version)
		e := r.expect(owner, true)
		if err := tls.Client(r.dial(e, "127.0.0.1"), thief).Handshake(); err == nil {
			t.Error("another session's ticket was accepted")
		}
		if err := tls.Client(r.dial(e, "127.0.0.1"), ownerClient).Handshake(); err != nil {
			t.Error("the owner was not served:", err)
		}
		if !r.conn(e).Resumed() {
			t.Error("not the owner's connection")
		}
	})
}

// TestForgedRoute: the id in front of a ticket is no secret to a client that copies it; the sealed part decides.
func TestForgedRoute(t *testing.T) {
	r := newRig(t, Config{})
	owner, _ := r.login(local, tls.VersionTLS13)
	thief, thiefClient := r.login(netip.MustParseAddr("127.0.0.2"), tls.VersionTLS13)
	r.passive.Remove(thief)
	thief.id = owner.id
	// The thief's next ticket begins with the owner's id, but is sealed with its own key.
	a, b := tcpPair(t)
	go func() {
		c := tls.Server(b, thief.tls)
		_, _ = c.Write([]byte("x"))
	}()
	if _, err := io.ReadFull(tls.Client(a, thiefClient), make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	e := r.expect(owner, true)
	c := tls.Client(r.dial(e, "127.0.0.2"), thiefClient)
	_ = c.Handshake()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a forged route was accepted")
	}
	select {
	case <-e.done:
		t.Error("the owner's place was taken")
	default:
	}
}

func TestStranger(t *testing.T) {
	rejected := make(chan string, 10)
	r := newRig(t, Config{Rejected: func(_ netip.Addr, reason string) { rejected <- reason }})
	s, client := r.login(local, 0)
	fresh := r.client
	e := r.expect(s, true)
	if !r.refused(e, "127.0.0.2", fresh) {
		t.Error("a stranger did a handshake")
	}
	if got := <-rejected; got != "stranger" {
		t.Error(got)
	}
	// From another address with the right ticket: that is the owner behind a NAT.
	if err := tls.Client(r.dial(e, "127.0.0.2"), client).Handshake(); err != nil {
		t.Error(err)
	}
	if !r.conn(e).Resumed() {
		t.Error("not resumed")
	}
	// Nothing is pending any more.
	if !r.refused(e, "127.0.0.1", fresh) {
		t.Error("a connection that nobody waits for was served")
	}
	if got := <-rejected; got != "stranger" {
		t.Error(got)
	}
}

func TestGarbageDoesNotHarmTheOwner(t *testing.T) {
	r := newRig(t, Config{})
	s, _ := r.login(local, 0)
	e := r.expect(s, true)
	for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x16\x03\x01\xff\xff"} {
		c := r.dial(e, "127.0.0.1")
		if _, err := c.Write([]byte(junk)); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q was answered", junk)
		}
	}
	if err := tls.Client(r.dial(e, "127.0.0.1"), r.client).Handshake(); err != nil {
		t.Fatal(err)
	}
	r.conn(e)
}

func TestRequire(t *testing.T) {
	r := newRig(t, Config{Match: MatchRequire})
	s, client := r.login(local, 0)
	e := r.expect(s, true)
	_ = tls.Client(r.dial(e, "127.0.0.1"), r.client).Handshake()
	if _, err := e.Conn(t.Context()); !errors.Is(err, ErrNotResumed) {
		t.Error(err)
	}
	e = r.expect(s, true)
	if err := tls.Client(r.dial(e, "127.0.0.1"), client).Handshake(); err != nil {
		t.Error(err)
	}
	if conn := r.conn(e); slow(conn) {
		t.Errorf("over a %T", conn.raw.Conn)
	}
}

// slow reports whether a connection tells the scheduler of its system calls though it could do without.
func slow(c *Conn) bool {
	_, plain := c.raw.Conn.(*net.TCPConn)
	return plain && runtime.GOOS == "linux"
}

func TestAdaptive(t *testing.T) {
	r := newRig(t, Config{Match: MatchAdaptive})
	s, client := r.login(local, 0)
	e := r.expect(s, true)
	if err := tls.Client(r.dial(e, "127.0.0.1"), r.client).Handshake(); err != nil {
		t.Fatal("before the first resumption anything goes:", err)
	}
	r.conn(e)
	e = r.expect(s, true)
	if err := tls.Client(r.dial(e, "127.0.0.1"), client).Handshake(); err != nil {
		t.Fatal(err)
	}
	r.conn(e)
	e = r.expect(s, true)
	_ = tls.Client(r.dial(e, "127.0.0.1"), r.client).Handshake()
	if _, err := e.Conn(t.Context()); !errors.Is(err, ErrNotResumed) {
		t.Error(err)
	}
}

// TestOnePort: a client that has not resumed yet holds the only port until it is matched; the next waits its turn.
func TestOnePort(t *testing.T) {
	r := newRig(t, Config{PortTimeout: 50 * time.Millisecond})
	s1, _ := r.login(local, 0)
	s2, _ := r.login(local, 0)
	elsewhere, _ := r.login(netip.MustParseAddr("127.0.0.9"), 0)
	e := r.expect(s1, true)
	r.expect(elsewhere, true) // another address is no conflict
	if _, err := r.passive.Expect(t.Context(), s2, true); !errors.Is(err, ErrNoPort) {
		t.Error(err)
	}
	s2.resumed.Store(true) // a ticket will tell
	r.expect(s2, true)
	e.Close()
	s3, _ := r.login(local, 0)
	r.expect(s3, true)
	if _, err := r.passive.Expect(t.Context(), s1, false); !errors.Is(err, ErrNoPort) {
		t.Error("in clear a port is shared with nobody:", err)
	}
}

func TestClear(t *testing.T) {
	r := newRig(t, Config{})
	s, _ := r.login(local, 0)
	e := r.expect(s, false)
	c := r.dial(e, "127.0.0.1")
	conn := r.conn(e)
	if _, err := conn.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	go func() { _ = conn.Close() }()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hi" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestCutOff(t *testing.T) {
	for _, tc := range []struct {
		name    string
		lenient bool
		end     func(*tls.Conn, *net.TCPConn)
		want    error
	}{
		{"close_notify", false, func(c *tls.Conn, raw *net.TCPConn) { _ = c.CloseWrite() }, nil},
		{"close_notify and FIN", false, func(c *tls.Conn, raw *net.TCPConn) { _ = c.Close() }, nil},
		{"FIN", false, func(c *tls.Conn, raw *net.TCPConn) { _ = raw.CloseWrite() }, ErrCutOff},
		{"RST", false, func(c *tls.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); _ = raw.Close() }, ErrCutOff},
		{"half a record", false, func(c *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write([]byte{23, 3, 3, 0, 50, 1})
			_ = raw.CloseWrite()
		}, ErrCutOff},
		{"lenient FIN", true, func(c *tls.Conn, raw *net.TCPConn) { _ = raw.CloseWrite() }, nil},
		{"lenient RST", true, func(c *tls.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); _ = raw.Close() }, ErrCutOff},
	} {
		t.Run(tc.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				r := newRig(t, Config{})
				s, client := r.login(local, version)
				e := r.expect(s, true)
				raw := r.dial(e, "127.0.0.1")
				c := tls.Client(raw, client)
				// More than fits into the socket: the server reads in bulk by the end.
				size := 5000
				if version == tls.VersionTLS13 {
					size = 4 * bulkFrom
				}
				sent := make(chan error, 1)
				go func() {
					_, err := c.Write(make([]byte, size))
					sent <- err
				}()
				conn := r.conn(e)
				conn.SetPolicy(tc.lenient, time.Minute)
				if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				tc.end(c, raw.(*net.TCPConn))
				_, err := io.ReadAll(conn)
				if !errors.Is(err, tc.want) {
					t.Errorf("%v, want %v", err, tc.want)
				}
			})
		})
	}
}

// TestCloseNotify: a finished download ends in close_notify, an aborted one does not.
func TestCloseNotify(t *testing.T) {
	for _, whole := range []bool{true, false} {
		r := newRig(t, Config{})
		s, client := r.login(local, 0)
		e := r.expect(s, true)
		raw := &rawConn{Conn: r.dial(e, "127.0.0.1")}
		c := tls.Client(raw, client)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn := r.conn(e)
		if _, err := conn.Write([]byte("data")); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			if whole {
				done <- conn.Close()
			} else {
				conn.Abort()
				done <- nil
			}
		}()
		_, err := io.ReadAll(c)
		if got := err == nil && !raw.eof.Load(); got != whole {
			t.Errorf("close_notify seen: %v, want %v (%v)", got, whole, err)
		}
		c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestNoTicketOnData: a data connection leaves no new ticket unread with the client, whether it resumed or not.
func TestNoTicketOnData(t *testing.T) {
	for _, resume := range []bool{true, false} {
		r := newRig(t, Config{})
		s, client := r.login(local, tls.VersionTLS13)
		cache := &countingCache{ClientSessionCache: client.ClientSessionCache}
		client.ClientSessionCache = cache
		if !resume {
			cache.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		e := r.expect(s, true)
		c := tls.Client(r.dial(e, "127.0.0.1"), client)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		conn := r.conn(e)
		if conn.Resumed() != resume {
			t.Errorf("resumed: %v", conn.Resumed())
		}
		go func() {
			_, _ = conn.Write([]byte("x"))
			_ = conn.Close()
		}()
		if _, err := io.ReadAll(c); err != nil { // a ticket would be read on the way
			t.Fatal(err)
		}
		if cache.puts > 0 {
			t.Error("the data connection issued a ticket")
		}
		c.Close()
	}
}

type countingCache struct {
	tls.ClientSessionCache
	puts int
}

func (c *countingCache) Put(key string, cs *tls.ClientSessionState) {
	if cs != nil {
		c.puts++
	}
	c.ClientSessionCache.Put(key, cs)
}

// TestKeyExchange: who offers to resume is spared ML-KEM on the data connection, and nobody else is; nor is who has sent no other key.
func TestKeyExchange(t *testing.T) {
	for name, tc := range map[string]struct {
		curves []tls.CurveID
		resume bool
		void   bool // the ticket that is offered cannot be opened
		want   tls.CurveID
	}{
		"resumed":                  {nil, true, false, tls.X25519},
		"not resumed":              {nil, false, false, tls.X25519MLKEM768},
		"void ticket":              {nil, false, true, tls.X25519},
		"resumed, ML-KEM alone":    {[]tls.CurveID{tls.X25519MLKEM768}, true, false, tls.X25519MLKEM768},
		"resumed, without ML-KEM":  {[]tls.CurveID{tls.X25519}, true, false, tls.X25519},
		"resumed, without either":  {[]tls.CurveID{tls.CurveP256}, true, false, tls.CurveP256},
		"resumed, ML-KEM and P384": {[]tls.CurveID{tls.X25519MLKEM768, tls.CurveP384}, true, false, tls.X25519MLKEM768},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			r.client.CurvePreferences = tc.curves
			s, client := r.login(local, tls.VersionTLS13)
			switch {
			case tc.void:
				client.ClientSessionCache = voidTickets{client.ClientSessionCache}
			case !tc.resume:
				client.ClientSessionCache = nil
			}
			e := r.expect(s, true)
			c := tls.Client(r.dial(e, "127.0.0.1"), client)
			defer c.Close()
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState(); got.CurveID != tc.want || got.DidResume != tc.resume {
				t.Errorf("%v, resumed: %v", got.CurveID, got.DidResume)
			}
			r.conn(e).Abort()
		})
	}
}

// voidTickets are a client's tickets, broken in their sealed part.
type voidTickets struct{ tls.ClientSessionCache }

func (c voidTickets) Get(key string) (*tls.ClientSessionState, bool) {
	cs, ok := c.ClientSessionCache.Get(key)
	if !ok {
		return nil, false
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil {
		return nil, false
	}
	ticket = slices.Clone(ticket)
	ticket[len(ticket)-1] ^= 1
	cs, err = tls.NewResumptionState(ticket, state)
	return cs, err == nil
}

// TestCertificateStays: a data connection shows the certificate of its control connection, whatever was loaded since.
func TestCertificateStays(t *testing.T) {
	r := newRig(t, Config{})
	s, _ := r.login(local, 0)
	r.server, _ = selfSigned(t) // what the next control connection would get
	e := r.expect(s, true)
	if err := tls.Client(r.dial(e, "127.0.0.1"), r.client).Handshake(); err != nil {
		t.Fatal(err)
	}
}

func TestStall(t *testing.T) {
	r := newRig(t, Config{})
	s, client := r.login(local, 0)
	e := r.expect(s, true)
	c := tls.Client(r.dial(e, "127.0.0.1"), client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	conn := r.conn(e)
	conn.SetPolicy(false, 30*time.Millisecond)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, ErrCutOff) {
		t.Error(err)
	}
}

func TestCloseWaits(t *testing.T) {
	r := newRig(t, Config{})
	s, _ := r.login(local, 0)
	e := r.expect(s, true)
	c := r.dial(e, "127.0.0.1") // and silent
	if _, err := c.Write([]byte{22}); err != nil {
		t.Fatal(err)
	}
	if err := r.passive.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still served")
	}
}
