package protocol

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"sluice/protocol/dataconn"
)

// Config of a Server. Driver, TLS and Passive are needed; the zero value of every other field is a usable default.
type Config struct {
	Driver Driver

	// TLS returns the configuration for a new control connection: certificates, versions, client CAs. The session keeps
	// what it got, for its data connections too, whatever TLS returns later.
	TLS func() *tls.Config

	// Passive are the shared passive listeners. The server does not close them.
	Passive *dataconn.Passive

	// Active opens data connections for PORT and EPRT. Nil refuses them: on a public listener a client should not be able to
	// make the server connect anywhere, not even back to itself.
	Active *dataconn.Dialer

	// Address is the IPv4 address that PASV tells a client. Nil, or an invalid result: the local address of the control
	// connection.
	Address func(local, remote netip.AddrPort) netip.Addr

	// AllowPlain lets clients log in and transfer without TLS.
	AllowPlain bool

	// CCC lets clients return the control connection to the clear, for firewalls that have to read it. Off by default.
	CCC CCC

	// ClearGreeting is how long an implicit listener waits for TLS before it sends its 220 in the clear, as z/OS expects. 0: it
	// never does.
	ClearGreeting time.Duration

	// NoDeflate refuses MODE Z.
	NoDeflate bool

	// MaxSessions limits the control connections; one more hears 421. 0 means 20,000.
	MaxSessions int

	// Greeting is the text of the 220 reply.
	Greeting string

	LoginTimeout   time.Duration // from connect to login; default 60 s
	IdleTimeout    time.Duration // between two commands, outside transfers; default 5 min
	ConnectTimeout time.Duration // for a data connection to come up, handshake included; default 30 s
	StallTimeout   time.Duration // without a byte moving on a data connection; default 2 min

	Hooks  Hooks
	Logger *slog.Logger // nil: nothing is logged
}

// Hooks tell the program what happened. Each may be nil; each is called from session goroutines and must not block.
type Hooks struct {
	Session  func(open bool)
	Login    func(user string, remote netip.Addr, err error)
	Transfer func(Transfer)
	Command  func(verb string, code int)
}

// Transfer is one finished data transfer.
type Transfer struct {
	User     string
	Remote   netip.Addr
	Verb     string // RETR, STOR, APPE, STOU, LIST, NLST, MLSD
	Name     string // absolute, in the user's tree
	Bytes    int64  // moved over the data connection
	Duration time.Duration
	Code     int // of the final reply
	Err      error
}
