package identity

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"sluice/protocol"
	"sluice/protocol/auth"
)

// weak is the argon2id hash of "password", and costs next to nothing.
const weak = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func digest(t *testing.T) auth.Digest {
	t.Helper()
	d, err := auth.Parse(weak)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func driver(t *testing.T, users ...User) *Driver {
	t.Helper()
	d := New(slog.New(slog.DiscardHandler))
	for i := range users {
		users[i].FS = &memory{}
	}
	d.Set(users, nil)
	return d
}

var home = netip.MustParseAddrPort("192.0.2.1:4711")

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{Raw: []byte(name), Subject: pkix.Name{CommonName: name}}
}

func TestLogin(t *testing.T) {
	d := driver(t,
		User{Name: "ann", Password: digest(t), Lenient: true},
		User{Name: "sap", Certificate: "cn:sap"},
		User{Name: "pin", Certificate: auth.Fingerprint(certificate("pin"))},
		User{Name: "both", Password: digest(t), Certificate: "cn:both"},
		User{Name: "either", Password: digest(t), Certificate: "cn:either", Either: true},
		User{Name: "near", Password: digest(t), From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		User{Name: "far", Password: digest(t), From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		User{Name: "odd", Password: digest(t), From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Certificate: "cn:odd", Either: true},
	)
	const none = "(none)"
	for _, tt := range []struct {
		user, password, cert string
		want                 bool
	}{
		{"ann", "password", none, true},
		{"ann", "passwore", none, false},
		{"ann", "", none, false},
		{"ann", none, none, false},
		{"ann", none, "ann", false},
		{"ANN", "password", none, false},
		{"", "password", none, false},
		{"bob", "password", none, false},
		{"bob", none, "bob", false},
		{"sap", none, "sap", true},
		{"sap", none, "both", false},
		{"sap", none, none, false},
		{"sap", "anything", "sap", true},
		{"sap", "password", none, false},
		{"sap", "", none, false},
		{"pin", none, "pin", true},
		{"pin", none, "sap", false},
		{"both", "password", "both", true},
		{"both", "password", none, false},
		{"both", "password", "sap", false},
		{"both", none, "both", false},
		{"both", "passwore", "both", false},
		{"either", none, "either", true},
		{"either", "password", none, true},
		{"either", "passwore", "either", true},
		{"either", "passwore", "sap", false},
		{"near", "password", none, true},
		{"far", "password", none, false},
		{"odd", none, "odd", false},
		{"odd", "password", "odd", false},
	} {
		c := protocol.Credentials{User: tt.user, Remote: home}
		if tt.password != none {
			c.Password = []byte(tt.password)
		}
		if tt.cert != none {
			c.Certificate = certificate(tt.cert)
		}
		d.throttle = auth.Throttle{}
		a, err := d.Login(t.Context(), c)
		if tt.want {
			if err != nil || a.Name != tt.user || a.FS == nil || a.LenientClose != (tt.user == "ann") {
				t.Errorf("%s, %s, %s: %+v, %v", tt.user, tt.password, tt.cert, a, err)
			}
			continue
		}
		if !errors.Is(err, protocol.ErrDenied) || a.FS != nil {
			t.Errorf("%s, %s, %s: %+v, %v; want ErrDenied", tt.user, tt.password, tt.cert, a, err)
		}
	}
}

func TestLoginIPv4InIPv6(t *testing.T) {
	d := driver(t, User{Name: "ann", Password: digest(t), From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	c := protocol.Credentials{User: "ann", Password: []byte("password"), Remote: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")}
	if _, err := d.Login(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// Wrong passwords lead to a ban that a right one does not break; right passwords and certificates that are missing do not.
func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := driver(t, User{Name: "ann", Password: digest(t)}, User{Name: "both", Password: digest(t), Certificate: "cn:both"})
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		login := func(user, password string) error {
			c := protocol.Credentials{User: user, Remote: home}
			if password != "" {
				c.Password = []byte(password)
			}
			_, err := d.Login(t.Context(), c)
			return err
		}
		for range 50 {
			if err := login("both", "password"); !errors.Is(err, protocol.ErrDenied) {
				t.Fatal(err)
			}
			if err := login("ann", ""); !errors.Is(err, protocol.ErrDenied) {
				t.Fatal(err)
			}
		}
		if err := login("ann", "password"); err != nil {
			t.Fatalf("banned without a wrong guess: %v", err)
		}
		for range 10 {
			if err := login("ann", "s3cr3t-guess"); !errors.Is(err, protocol.ErrDenied) {
				t.Fatal(err)
			}
		}
		if err := login("ann", "password"); !errors.Is(err, protocol.ErrDenied) || !strings.Contains(err.Error(), "banned for another 1m0s") {
			t.Errorf("after ten wrong guesses: %v, want a ban", err)
		}
		if !strings.Contains(log.String(), "192.0.2.1") || strings.Contains(log.String(), "guess") {
			t.Errorf("log: %s", log.String())
		}
		d.Set(nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
		if err := login("eve", "x"); !errors.Is(err, protocol.ErrDenied) || strings.Contains(err.Error(), "banned") {
			t.Errorf("exempt after Set: %v", err)
		}
	})
}

// A login that cannot be judged is an outage, not a denial.
func TestLoginCancelled(t *testing.T) {
	d := driver(t, User{Name: "ann", Password: digest(t)})
	d.verifier = auth.NewVerifier(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var err error
	for range 20 { // a free slot may be taken although ctx has ended
		_, err = d.Login(ctx, protocol.Credentials{User: "bob", Password: []byte("x"), Remote: home})
		if !errors.Is(err, protocol.ErrDenied) {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Login = %v, want context.Canceled", err)
	}
}

func TestSessions(t *testing.T) {
	d := driver(t, User{Name: "ann", Password: digest(t), Limits: Limits{Sessions: 2}})
	login := func() (protocol.Account, error) {
		return d.Login(t.Context(), protocol.Credentials{User: "ann", Password: []byte("password"), Remote: home})
	}
	one, err := login()
	if err != nil {
		t.Fatal(err)
	}
	two, err := login()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := login(); !errors.Is(err, protocol.ErrBusy) {
		t.Errorf("third session: %v, want ErrBusy", err)
	}
	one.Close()
	one.Close()
	if _, err := login(); err != nil {
		t.Errorf("after one has closed: %v", err)
	}
	if _, err := login(); !errors.Is(err, protocol.ErrBusy) {
		t.Errorf("Close counted twice: %v, want ErrBusy", err)
	}

	d.Set([]User{{Name: "ann", Password: digest(t), Limits: Limits{Sessions: 3}, FS: &memory{}}}, nil)
	if _, err := login(); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
	d.Set(nil, nil)
	if _, err := login(); !errors.Is(err, protocol.ErrDenied) {
		t.Errorf("after the user was removed: %v, want ErrDenied", err)
	}
	if len(d.meters) != 1 {
		t.Errorf("the meter of a user with sessions is gone")
	}
	two.Close()
}

// Names without a password of their own are measured against the same hash each time.
func TestDecoy(t *testing.T) {
	d := driver(t)
	if d.decoy("x").String() != "" {
		t.Error("a decoy without users")
	}
	other, err := auth.Parse(auth.Hash([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	d = driver(t, User{Name: "ann", Password: digest(t)}, User{Name: "bob", Password: other}, User{Name: "sap", Certificate: "cn:sap"})
	seen := map[string]bool{}
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		first, again := d.decoy(name).String(), d.decoy(name).String()
		if first != again {
			t.Fatal("the decoy of a name changes")
		}
		seen[first] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d hashes serve as decoys, want both", len(seen))
	}
}
