package protocol

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"

	"golang.org/x/text/encoding/charmap"

	"sluice/backend/vfs"
	"sluice/protocol/wire"
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
	Name string // one tree for each name
	FS   vfs.FS
	Home string // where the session starts; empty means "/"
	// Names is the character set in which the client writes file names, until it says OPTS UTF8 ON. The zero value is UTF-8.
	Names wire.Charset
	// Mainframe is the EBCDIC code page of TYPE E. Where it is set, MODE B and STRU R are served too, and any SITE command is
	// accepted; nil refuses them.
	Mainframe *charmap.Charmap
	// Quota returns how many bytes the user has transferred today, and how many he may; nil, or a limit of 0: no limit.
	Quota func() (used, limit int64)
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
