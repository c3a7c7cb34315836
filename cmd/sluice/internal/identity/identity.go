// Package identity decides who may log in and what they see: it is the protocol's Driver over the users of the configuration,
// with their limits.
//
// It reads no file and builds no tree: run.go tells it who the users are, at the start and after every reload.
package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/text/encoding/charmap"

	"sluice/backend/vfs"
	"sluice/cmd/sluice/internal/logs"
	"sluice/protocol"
	"sluice/protocol/auth"
	"sluice/protocol/wire"
)

// User is who may log in.
type User struct {
	Name     string
	Password auth.Digest // the zero Digest: none
	// Certificate is the fingerprint or a name of the user's certificate, as auth.Fingerprint and auth.Names spell them;
	// empty: none.
	Certificate string
	Either      bool           // password or certificate is enough; otherwise who has both must show both
	From        []netip.Prefix // networks that the user may come from; empty: any
	Limits      Limits
	Lenient     bool             // uploads that end without close_notify are whole
	Names       wire.Charset     // of file names
	Mainframe   *charmap.Charmap // protocol.Account.Mainframe
	FS          vfs.FS           // what the user sees; shared by all sessions
}

// Driver is a protocol.Driver. Make one with New; before the first Set nobody can log in.
type Driver struct {
	log      *slog.Logger
	verifier *auth.Verifier
	throttle auth.Throttle
	key      [32]byte // chooses the decoy of a name

	mu     sync.Mutex
	users  map[string]User
	decoys []auth.Digest     // the password hashes of all users
	meters map[string]*meter // by user; they outlive a Set
}

// New returns a Driver.
func New(log *slog.Logger) *Driver {
	d := &Driver{log: log, verifier: auth.NewVerifier(0), meters: map[string]*meter{}}
	rand.Read(d.key[:]) // never fails
	return d
}

// Set replaces the users, at once. Sessions go on: they keep the tree that they have, and the new limits hold for them too.
// Addresses in exempt are never banned.
func (d *Driver) Set(users []User, exempt []netip.Prefix) {
	d.throttle.Exempt(exempt)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users, d.decoys = map[string]User{}, nil
	for _, u := range users {
		d.users[u.Name] = u
		if u.Password.String() != "" {
			d.decoys = append(d.decoys, u.Password)
		}
		if d.meters[u.Name] == nil {
			d.meters[u.Name] = newMeter()
		}
		d.meters[u.Name].set(u.Limits)
	}
	maps.DeleteFunc(d.meters, func(name string, m *meter) bool {
		_, ok := d.users[name]
		return !ok && m.idle()
	})
}

// Login is protocol.Driver's. What it returns with ErrDenied says why, for the log.
func (d *Driver) Login(ctx context.Context, c protocol.Credentials) (protocol.Account, error) {
	addr := c.Remote.Addr().Unmap().WithZone("")
	if wait := d.throttle.Banned(addr, c.User); wait > 0 {
		return denied("banned for another %v", wait.Round(time.Second))
	}
	d.mu.Lock()
	u, ok := d.users[c.User]
	m := d.meters[c.User]
	d.mu.Unlock()
	if !ok {
		u = User{Password: d.decoy(c.User), From: []netip.Prefix{{}}}
	}
	v, err := d.verify(ctx, u, c, addr)
	if err != nil {
		return protocol.Account{}, fmt.Errorf("log in %s: %w", c.User, err)
	}
	switch {
	case c.Password != nil && !v.right:
		if ban := d.throttle.Fail(addr, c.User); ban > 0 {
			d.log.WarnContext(ctx, "banned for wrong passwords", logs.Remote, addr, logs.User, c.User, logs.Duration, ban)
		}
		return denied("wrong user name or password")
	case !v.network:
		return denied("not from this network")
	case !v.enough:
		return denied("a certificate or password is missing")
	}
	d.throttle.Succeed(addr, c.User)
	if !m.enter() {
		return protocol.Account{}, fmt.Errorf("%s: %w", u.Name, protocol.ErrBusy)
	}
	return protocol.Account{
		Name: u.Name, FS: &limited{FS: u.FS, meter: m}, LenientClose: u.Lenient, Names: u.Names, Mainframe: u.Mainframe,
		Quota: m.quota, Close: sync.OnceFunc(m.leave),
	}, nil
}

func denied(format string, args ...any) (protocol.Account, error) {
	return protocol.Account{}, fmt.Errorf("%w: %s", protocol.ErrDenied, fmt.Sprintf(format, args...))
}

// verdict is what verify found.
type verdict struct {
	right   bool // the password is no wrong guess; only with a password
	network bool // the client may come from where it does
	enough  bool // what was shown is all that the user needs
}

// verify computes exactly one hash where there is a password, whoever the user is and whatever else is wrong; a right password
// is answered from memory only where the login succeeds.
func (d *Driver) verify(ctx context.Context, u User, c protocol.Credentials, addr netip.Addr) (v verdict, err error) {
	hasPassword := u.Password.String() != "" && u.Name != ""
	certified := u.Certificate != "" && c.Certificate != nil && owns(c.Certificate, u.Certificate)
	v.network = len(u.From) == 0 || slices.ContainsFunc(u.From, func(p netip.Prefix) bool { return p.Contains(addr) })
	switch {
	case c.Password == nil:
		v.enough = certified && (u.Either || !hasPassword)
		return v, nil
	case !hasPassword: // nor does a user who does not exist have one
		digest := u.Password
		if u.Name != "" {
			digest = d.decoy(u.Name)
		}
		_, err = d.verifier.Compute(ctx, digest, c.Password)
		v.right, v.enough = certified, certified
		return v, err
	}
	needs := u.Certificate != "" && !u.Either // a certificate besides
	if v.network && (certified || !needs) {
		v.right, err = d.verifier.Verify(ctx, u.Name, u.Password, c.Password)
	} else {
		v.right, err = d.verifier.Compute(ctx, u.Password, c.Password)
	}
	v.enough = v.right && (certified || !needs)
	if certified && u.Either {
		v.right, v.enough = true, true
	}
	return v, err
}

// decoy returns the hash that stands in for that of a user who has none: always the same one of the real hashes, so that such names
// take as long as those of real users do, however different their hashes are.
func (d *Driver) decoy(name string) auth.Digest {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.decoys) == 0 {
		return auth.Digest{}
	}
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write([]byte(name))
	return d.decoys[binary.BigEndian.Uint64(mac.Sum(nil))%uint64(len(d.decoys))]
}

// owns reports whether a certificate has a fingerprint or name.
func owns(c *x509.Certificate, name string) bool {
	return name == auth.Fingerprint(c) || slices.Contains(auth.Names(c), name)
}
