// Package wire is the text of an FTP control connection: lines in, replies out, and the grammar of arguments. It has no
// sockets and no state of a session; protocol is its caller.
package wire

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// MaxLine is the longest command line, in bytes without its end.
const MaxLine = 4096

// Errors of ReadCommand after which reading may go on, but for ErrForeign.
var (
	ErrTooLong = errors.New("command line too long")
	ErrSyntax  = errors.New("NUL or CR inside a command line")
	ErrForeign = errors.New("not FTP") // a TLS record: whatever follows is no line
)

// Telnet bytes (RFC 854).
const (
	se   = 240
	sb   = 250
	will = 251
	dont = 254
	iac  = 255
)

// Reader splits the bytes of a control connection into commands. It takes Telnet sequences out of the stream wherever they
// stand (RFC 1123 4.1.2.10): IAC IAC is the byte 255, and so is an IAC that no Telnet command
// follows; every sequence is dropped. Memory is bounded by MaxLine.
type Reader struct {
	r     *bufio.Reader
	line  []byte
	begun bool
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 512)}
}

// Buffered is the number of bytes that have been received and not yet been parsed. After AUTH it must be 0 (RFC 4217:
// nothing sent in clear may be taken for protected).
func (r *Reader) Buffered() int { return r.r.Buffered() }

// ReadCommand returns the next command. A line ends in LF; one CR before it belongs to the end, and CR NUL is CR. An
// over-long line is skipped up to its end. Any error of the underlying reader is returned as it is; bytes of an
// unfinished line are dropped.
func (r *Reader) ReadCommand() (Command, error) {
	r.line = r.line[:0]
	tooLong := false
	for {
		c, err := r.next()
		if err != nil {
			return Command{}, err
		}
		if !r.begun {
			r.begun = true
			if c == 0x16 { // a TLS handshake record
				return Command{}, ErrForeign
			}
		}
		if c == '\n' {
			break
		}
		if n := len(r.line); c == 0 && n > 0 && r.line[n-1] == '\r' {
			continue // CR NUL is how Telnet writes a CR alone
		}
		if len(r.line) > MaxLine { // one more than fits: it may be the CR of the end
			tooLong = true
			r.line[MaxLine] = c
			continue
		}
		r.line = append(r.line, c)
	}
	line := r.line
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if tooLong || len(line) > MaxLine {
		return Command{}, ErrTooLong
	}
	cmd := parse(string(line))
	if strings.ContainsAny(cmd.Arg, "\x00\r") || strings.ContainsAny(cmd.Verb, "\x00\r") {
		return Command{Verb: cmd.Verb}, ErrSyntax
	}
	return cmd, nil
}

// next returns the next byte outside Telnet sequences.
func (r *Reader) next() (byte, error) {
	for {
		c, err := r.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case iac:
			if c, err = r.r.ReadByte(); err != nil {
				return 0, err
			}
			switch {
			case c == iac:
				return iac, nil
			case c >= will && c <= dont:
				_, err = r.r.ReadByte()
			case c == sb:
				err = r.skipSubnegotiation()
			case c < se: // no Telnet command: a client that knows no Telnet has put this byte into a name
				return iac, r.r.UnreadByte()
			}
			if err != nil {
				return 0, err
			}
		default:
			return c, nil
		}
	}
}

func (r *Reader) skipSubnegotiation() error {
	for {
		c, err := r.r.ReadByte()
		if err != nil {
			return err
		}
		if c != iac {
			continue
		}
		if c, err = r.r.ReadByte(); err != nil {
			return err
		}
		if c == se {
			return nil
		}
	}
}

// Command is one line of the client.
type Command struct {
	Verb string // upper case
	Arg  string // verbatim, without the one space in front; empty if there is none
}

func parse(line string) Command {
	verb, arg, _ := strings.Cut(line, " ")
	return Command{Verb: upper(verb), Arg: arg}
}

// upper folds ASCII letters alone, so that no locale can make a verb out of other bytes.
func upper(s string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' {
			return c - 'a' + 'A'
		}
		return c
	}, s)
}

// String is the command for a log: passwords are left out.
func (c Command) String() string {
	switch {
	case c.Verb == "PASS" || c.Verb == "ACCT" || c.Verb == "ADAT":
		return c.Verb + " ****"
	case c.Arg == "":
		return c.Verb
	}
	return c.Verb + " " + c.Arg
}

// Foreign reports whether the command looks like a line of HTTP, SMTP or SSH. Such a peer must not be talked to: a browser
// can be made to send an FTP dialogue in the body of a request.
func (c Command) Foreign() bool {
	switch c.Verb {
	case "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI", "EHLO", "HELO", "LHLO", "STARTTLS", "MAIL", "RCPT", "DATA":
		return true
	}
	if strings.HasPrefix(c.Verb, "SSH-") || strings.HasSuffix(c.Arg, " HTTP/1.1") || strings.HasSuffix(c.Arg, " HTTP/1.0") {
		return true
	}
	// "Host: example.org" and the like: no FTP verb has a colon.
	return len(c.Verb) > 1 && strings.HasSuffix(c.Verb, ":")
}
