package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
)

// frameWriter writes the data of a file with the ends of its records.
type frameWriter interface {
	io.Writer
	endRecord() error
	mark(offset int64) error // sets a restart marker, where the mode has any
	Close() error            // ends the file
}

// frameReader reads them. next returns some data, or the end of a record, or both in that order; io.EOF behind the last.
type frameReader interface {
	next() (p []byte, end bool, err error)
}

// plainWriter is stream mode without records: the end of the connection is the end of the file.
type plainWriter struct{ io.Writer }

func (plainWriter) endRecord() error { return nil }
func (plainWriter) mark(int64) error { return nil }
func (plainWriter) Close() error     { return nil }

// Control codes of stream mode with records (RFC 959 3.4.1): escape, then the sum of what ends.
const (
	escape    = 0xff
	endRecord = 1
	endFile   = 2
)

// streamWriter is stream mode with records.
type streamWriter struct {
	w   io.Writer
	buf []byte
}

func (s *streamWriter) Write(p []byte) (int, error) {
	s.buf = s.buf[:0]
	for _, c := range p {
		if c == escape {
			s.buf = append(s.buf, escape)
		}
		s.buf = append(s.buf, c)
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *streamWriter) code(c byte) error {
	_, err := s.w.Write([]byte{escape, c})
	return err
}

func (s *streamWriter) endRecord() error { return s.code(endRecord) }
func (s *streamWriter) mark(int64) error { return nil }
func (s *streamWriter) Close() error     { return s.code(endFile) }

// streamReader is stream mode with records.
type streamReader struct {
	r   *byteReader
	buf []byte
	eof bool
}

func (s *streamReader) next() (p []byte, end bool, err error) {
	if s.eof {
		return nil, false, ended(s.r)
	}
	s.buf = s.buf[:0]
	for len(s.buf) < blockSize {
		if len(s.buf) > 0 && s.r.Buffered() == 0 {
			return s.buf, false, nil // what has come is passed on before more is waited for
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return nil, false, early(err)
		}
		if c != escape {
			s.buf = append(s.buf, c)
			continue
		}
		switch c, err = s.r.ReadByte(); {
		case err != nil:
			return nil, false, early(err)
		case c == escape:
			s.buf = append(s.buf, c)
		case c == endRecord:
			return s.buf, true, nil
		case c == endFile, c == endFile|endRecord:
			s.eof = true
			return s.buf, c&endRecord != 0, nil
		default:
			return nil, false, fmt.Errorf("control code %d: %w", c, ErrFormat)
		}
	}
	return s.buf, false, nil
}

// Descriptors of a block (RFC 959 3.4.2).
const (
	blockRecord  = 128
	blockFile    = 64
	blockSuspect = 32
	blockMarker  = 16
)

// blockSize is how much data goes into one block; its count has 16 bits.
const blockSize = 32 << 10

// blockWriter is block mode.
type blockWriter struct {
	w   io.Writer
	buf []byte // head and data of the block to be sent
}

func (b *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(b.buf) == 0 {
			b.buf = append(b.buf, 0, 0, 0)
		}
		part := p[:min(len(p), 3+blockSize-len(b.buf))]
		b.buf, p = append(b.buf, part...), p[len(part):]
		if len(b.buf) == 3+blockSize {
			if err := b.flush(0); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush sends what there is, with a descriptor; without one, nothing to send is nothing sent.
func (b *blockWriter) flush(descriptor byte) error {
	if len(b.buf) == 0 {
		if descriptor == 0 {
			return nil
		}
		b.buf = append(b.buf, 0, 0, 0)
	}
	b.buf[0] = descriptor
	binary.BigEndian.PutUint16(b.buf[1:], uint16(len(b.buf)-3))
	_, err := b.w.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}

func (b *blockWriter) endRecord() error { return b.flush(blockRecord) }
func (b *blockWriter) Close() error     { return b.flush(blockFile) }

func (b *blockWriter) mark(offset int64) error {
	if err := b.flush(0); err != nil {
		return err
	}
	b.buf = strconv.AppendInt(append(b.buf, 0, 0, 0), offset, 10)
	return b.flush(blockMarker)
}

// blockReader is block mode.
type blockReader struct {
	r       io.Reader
	mark    func(string)
	holdsCR bool // what follows keeps a CR back until it has seen the next byte
	buf     []byte
	last    byte
	marker  string // to be told when all before it has been read
	eof     bool
}

func (b *blockReader) next() (p []byte, end bool, err error) {
	if b.marker != "" {
		if !b.holdsCR || b.last != '\r' {
			b.mark(b.marker)
		}
		b.marker = ""
	}
	if b.eof {
		return nil, false, ended(b.r)
	}
	var head [3]byte
	if _, err := io.ReadFull(b.r, head[:]); err != nil {
		return nil, false, early(err)
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if cap(b.buf) < n {
		b.buf = make([]byte, n)
	}
	b.buf = b.buf[:n]
	if _, err := io.ReadFull(b.r, b.buf); err != nil {
		return nil, false, early(err)
	}
	switch d := head[0]; {
	case d&^(blockRecord|blockFile|blockSuspect|blockMarker) != 0:
		return nil, false, fmt.Errorf("block descriptor %d: %w", d, ErrFormat)
	case d&blockSuspect != 0:
		return nil, false, fmt.Errorf("the client suspects errors in its data: %w", ErrFormat)
	case d&blockMarker != 0:
		if b.marker = string(b.buf); !printable(b.marker) {
			return nil, false, fmt.Errorf("restart marker: %w", ErrFormat)
		}
		return nil, false, nil
	default:
		b.eof = d&blockFile != 0
		if n > 0 {
			b.last = b.buf[n-1]
		}
		return b.buf, d&blockRecord != 0, nil
	}
}

// printable reports whether a marker can be repeated in a reply (RFC 959 3.5 demands it).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// fileReader reads the data of a file and does not care for its records.
type fileReader struct {
	frames frameReader
	buf    []byte // not read yet
}

func (f *fileReader) Read(p []byte) (int, error) {
	for len(f.buf) == 0 {
		var err error
		if f.buf, _, err = f.frames.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.buf)
	f.buf = f.buf[n:]
	return n, nil
}

// early turns a proper end of the stream in the middle of a file into ErrCutOff.
func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("no end of file: %w", ErrCutOff)
	}
	return err
}

// ended reads the end of the stream behind the end of the file.
func ended(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	switch {
	case n > 0:
		return fmt.Errorf("data behind the end of the file: %w", ErrFormat)
	default:
		return err
	}
}
