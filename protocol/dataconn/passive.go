// Package dataconn owns data connections: the shared passive ports and the question whose session a connection belongs to,
// active mode, TLS, and the judgement whether a stream ended properly or was cut off. It knows no FTP commands.
package dataconn

import (
	"log/slog"
	"net"
	"time"
)

// Match says how a passive data connection finds its session.
type Match int

const (
	MatchAuto    Match = iota // by TLS ticket, else by client address
	MatchRequire              // by TLS ticket only
	MatchIP                   // by client address; a ticket is not looked at
	MatchOff                  // whoever connects first
)

// Config of the passive listeners.
type Config struct {
	Host             string // address to bind; empty: all, IPv4 and IPv6
	FirstPort        int
	LastPort         int
	Match            Match
	HandshakeTimeout time.Duration                                      // default 10 s
	Listen           func(network, address string) (net.Listener, error) // nil: net.Listen
	Logger           *slog.Logger
}

// Passive are the passive listeners, open always and shared by all sessions.
type Passive struct{}

// Listen opens every port, or none and an error.
func Listen(cfg Config) (*Passive, error) { return &Passive{}, nil }

// Close closes the listeners and every connection that has no session yet.
func (p *Passive) Close() error { return nil }
