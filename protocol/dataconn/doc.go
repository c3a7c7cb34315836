// Package dataconn owns data connections: the shared passive ports and the question whose session a connection belongs to,
// TLS with the session's own certificate, and the judgement whether a stream ended properly or was cut off. It knows no
// FTP command; protocol is its caller.
package dataconn

import (
	"errors"
	"fmt"
)

// Errors of data connections.
var (
	ErrCutOff     = errors.New("data connection cut off") // 426
	ErrStalled    = fmt.Errorf("%w: nothing moved for too long", ErrCutOff)
	ErrNoConn     = errors.New("no data connection")                     // 425
	ErrNotResumed = errors.New("data connection resumed no TLS session") // 522, under MatchRequire
	ErrNoPort     = errors.New("no passive port free")                   // 425
)
