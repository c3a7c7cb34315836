package protocol

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"

	"sluice/backend/vfs"
)

// Driver decides who may log in and what they see. The program implements it.
type Driver interface {
	// Login returns ErrDenied where the credentials are wrong (the client hears 530 and nothing more), ErrBusy where a limit
	// on sessions is reached (421); any other error is an outage (421, and the log says why). It takes the same time
	// whether or not the user exists.
	Login(ctx context.Context, c Credentials) (Account, error)
}

// Credentials are what a client has shown.
type Credentials struct {
	User        string
	Password    []byte            // nil at USER, when a client certificate alone may suffice
	Certificate *x509.Certificate // the verified client certificate; nil if there is none
	Remote      netip.AddrPort
	Local       netip.AddrPort
	Host        string // from HOST or SNI; empty if the client named none
}

// Account is a user who has logged in.
type Account struct {
	Name string
	FS   vfs.FS
	Home string // where the session starts; empty means "/"
	// LenientClose takes an upload whose connection ended without TLS close_notify for complete.
	LenientClose bool
	// Close is called once, when the session ends; it may be nil.
	Close func()
}

// Errors of a Driver.
var (
	ErrDenied = errors.New("login denied")
	ErrBusy   = errors.New("too many sessions")
)
