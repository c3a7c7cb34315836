package protocol

import (
	"context"
	"net"
)

// Mode is how TLS begins on a control connection.
type Mode int

const (
	Explicit Mode = iota // AUTH TLS (RFC 4217)
	Implicit             // TLS from the first byte
)

// Server serves FTPS control connections. Make one with New.
type Server struct{ cfg Config }

// New checks the configuration and returns a Server.
func New(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Serve accepts control connections on l until Shutdown, then returns nil; an error of l otherwise. It closes l. It may be
// called for several listeners.
func (s *Server) Serve(l net.Listener, mode Mode) error { return nil }

// Shutdown tells idle sessions 421 and closes them, waits for running transfers until ctx ends, then cuts them with 426.
func (s *Server) Shutdown(ctx context.Context) error { return nil }
