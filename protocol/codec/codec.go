// Package codec is how the bytes of a file travel on a data connection: TYPE, STRU and MODE of RFC 959 3.1 to 3.4, with MODE Z
// for compression. It turns stored bytes into those on the wire and back. It knows no connection and no command; protocol is
// its caller.
//
// What is stored is the same whichever way it came: text (TYPE A and E) is UTF-8 or whatever the client sent, with LF behind
// each line; a file of binary records (TYPE I with STRU R) has a record descriptor word in front of each record, as z/OS writes
// files with variable records.
package codec

import (
	"errors"
	"io"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// Type is the representation type (RFC 959 3.1.1).
type Type byte

// The types.
const (
	ASCII Type = iota // the zero value, as RFC 959 5.1 has it
	Image
	EBCDIC
)

// Mode is the transmission mode (RFC 959 3.4).
type Mode byte

// The modes.
const (
	Stream Mode = iota
	Block
	Deflate // MODE Z: a zlib stream (draft-preston-ftpext-deflate-04)
)

// DefaultLevel is the level of MODE Z where none was asked for: the one that costs least, since some clients compress whatever they
// transfer, what is compressed already included.
const DefaultLevel = 1

// Form is how a file travels. The zero value is what every session begins with: ASCII, files without records, a stream.
type Form struct {
	Type   Type
	Mode   Mode
	Record bool             // STRU R
	Page   *charmap.Charmap // of EBCDIC
	Level  int              // of Deflate: 0 to 9
}

// Errors of decoding.
var (
	// ErrCutOff: the stream ended properly, but the mode says that something is missing.
	ErrCutOff = errors.New("the data ends too early")
	// ErrFormat: the bytes are not what the type, structure and mode make of a file.
	ErrFormat = errors.New("malformed data")
	// ErrBomb: compressed data grows beyond all reason.
	ErrBomb = errors.New("compressed data expands too much")
)

// Plain reports whether bytes travel as they are stored.
func (f Form) Plain() bool { return f.Type == Image && f.Mode == Stream && !f.Record }

// Listing is the form in which a listing travels, and what stands behind each line of it: listings are text in every type, and
// EBCDIC where the files are (RFC 959 4.1.3).
func (f Form) Listing() (form Form, end string) {
	if f.Type == EBCDIC {
		return f, "\n"
	}
	return Form{Type: Image, Mode: f.Mode, Level: f.Level}, "\r\n"
}

// Encode returns a writer that takes stored bytes, from offset of the file on, and writes to w what is to be sent. Its Close ends
// the file, and leaves w open. In block mode restart markers tell the offset (RFC 959 3.5).
func (f Form) Encode(w io.Writer, offset int64) io.WriteCloser {
	var ends closers
	if f.Mode == Deflate {
		z := newDeflater(w, f.Level)
		w, ends = z, append(ends, z)
	}
	var frames frameWriter
	switch {
	case f.Mode == Block:
		frames = &blockWriter{w: w}
	case f.Record:
		frames = &streamWriter{w: w}
	default:
		frames = plainWriter{w}
	}
	ends = append(closers{frames}, ends...)
	top, marks := io.Writer(frames), &marker{frames: frames, marked: offset}
	switch {
	case f.Record && f.Type == Image:
		r := &recordWriter{frames: frames, marks: marks, offset: offset}
		top, ends = r, append(closers{r}, ends...)
	case f.Record:
		r := &lineWriter{frames: frames, eol: f.eol()}
		top, ends = r, append(closers{r}, ends...)
	}
	if t := f.encoder(); t != nil {
		text := transform.NewWriter(top, t)
		top, ends = text, append(closers{text}, ends...)
	}
	if f.Mode == Block && (!f.Record || f.Type != Image) {
		top = &markingWriter{w: top, marks: marks, lines: f.Type != Image, offset: offset}
	}
	return struct {
		io.Writer
		io.Closer
	}{top, ends}
}

// closers are closed in their order, up to the first error.
type closers []io.Closer

func (c closers) Close() error {
	for _, e := range c {
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Decode returns a reader of stored bytes that takes from r what was received. It ends in io.EOF if and only if r does and the
// file is whole by its mode. mark, which may be nil, is called with each restart marker when every byte before it has been read.
func (f Form) Decode(r io.Reader, mark func(marker string)) io.Reader {
	if f.Plain() {
		return r
	}
	if f.Mode == Deflate {
		r = &inflater{src: &countReader{r: r}}
	}
	t := f.decoder()
	if mark == nil {
		mark = func(string) {}
	}
	var frames frameReader
	switch {
	case f.Mode == Block:
		frames = &blockReader{r: r, mark: mark, holdsCR: f.Type == ASCII && !f.Record}
	case f.Record:
		frames = &streamReader{r: newByteReader(r)}
	}
	switch {
	case f.Record && f.Type == Image:
		r = &recordReader{frames: frames}
	case f.Record:
		r = &lineReader{frames: frames, eol: f.eol()}
	case frames != nil:
		r = &fileReader{frames: frames}
	}
	if t != nil {
		r = transform.NewReader(r, t)
	}
	return r
}

// encoder is what makes wire text of stored text; nil where nothing changes.
func (f Form) encoder() transform.Transformer {
	switch {
	case f.Type == EBCDIC:
		return pageEncoder{page: f.Page}
	case f.Type == ASCII && !f.Record:
		return &toCRLF{}
	}
	return nil
}

// decoder makes stored text of wire text.
func (f Form) decoder() transform.Transformer {
	switch {
	case f.Type == EBCDIC:
		return pageDecoder{page: f.Page}
	case f.Type == ASCII && !f.Record:
		return fromCRLF{}
	}
	return nil
}

// eol is the byte that stands for the end of a line between the type and the structure.
func (f Form) eol() byte {
	if f.Type == EBCDIC {
		return newLine
	}
	return '\n'
}
