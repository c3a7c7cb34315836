package codec

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// lineWriter makes a record of each line.
type lineWriter struct {
	frames frameWriter
	eol    byte
	open   bool // the record has begun
}

func (l *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{l.eol})
		if len(line) > 0 {
			if _, err := l.frames.Write(line); err != nil {
				return 0, err
			}
			l.open = true
		}
		if whole {
			if err := l.frames.endRecord(); err != nil {
				return 0, err
			}
			l.open = false
		}
		p = rest
	}
	return n, nil
}

// Close makes a record of a last line that has no end.
func (l *lineWriter) Close() error {
	if !l.open {
		return nil
	}
	return l.frames.endRecord()
}

// lineReader makes a line of each record.
type lineReader struct {
	frames frameReader
	eol    byte
	buf    []byte
	open   bool // the record has begun
	end    bool // the record ends behind buf
	err    error
}

func (l *lineReader) Read(p []byte) (int, error) {
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(l.buf) > 0:
			n := copy(p, l.buf)
			l.buf, l.open = l.buf[n:], true
			return n, nil
		case l.end, l.err == io.EOF && l.open:
			l.end, l.open = false, false
			p[0] = l.eol
			return 1, nil
		case l.err != nil:
			return 0, l.err
		}
		l.buf, l.end, l.err = l.frames.next()
	}
}

// A record descriptor word stands in front of each stored record: its length with the word itself in 16 bits, then what part of
// a record follows, then zero (z/OS DFSMS Using Data Sets, "Variable-length record formats").
const (
	wordSize  = 4
	maxRecord = 32756 - wordSize // of one segment, as z/OS has it

	wholeRecord  = 0
	firstSegment = 1
	lastSegment  = 2
	midSegment   = 3
)

// recordWriter takes stored records apart.
type recordWriter struct {
	frames frameWriter
	marks  *marker
	offset int64  // in the stored file
	head   []byte // of a descriptor word that has not come whole
	left   int    // bytes of the segment
	open   bool   // more segments of this record follow
}

func (r *recordWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if r.left == 0 {
			take := min(wordSize-len(r.head), len(p))
			r.head, p = append(r.head, p[:take]...), p[take:]
			r.offset += int64(take)
			if len(r.head) < wordSize {
				break
			}
			size, part := int(binary.BigEndian.Uint16(r.head)), r.head[2]
			if size < wordSize || part > midSegment || r.head[3] != 0 || r.open != (part == lastSegment || part == midSegment) {
				return 0, fmt.Errorf("no record descriptor word: %w", ErrFormat)
			}
			r.head = r.head[:0]
			r.left, r.open = size-wordSize, part == firstSegment || part == midSegment
		} else {
			take := min(r.left, len(p))
			if _, err := r.frames.Write(p[:take]); err != nil {
				return 0, err
			}
			r.left, p = r.left-take, p[take:]
			r.offset += int64(take)
		}
		if r.left == 0 && !r.open {
			if err := r.frames.endRecord(); err != nil {
				return 0, err
			}
			if err := r.marks.at(r.offset); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (r *recordWriter) Close() error {
	if len(r.head) > 0 || r.left > 0 || r.open {
		return fmt.Errorf("the last record is not whole: %w", ErrFormat)
	}
	return nil
}

// recordReader puts descriptor words in front of records.
type recordReader struct {
	frames frameReader
	rec    []byte // data of the record that has not been passed on
	out    []byte // to be read
	begun  bool   // a segment of the record has been passed on
	err    error
}

func (r *recordReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		data, end, err := r.frames.next()
		r.rec = append(r.rec, data...)
		r.out = r.out[:0]
		for len(r.rec) > maxRecord {
			r.segment(maxRecord, false)
		}
		switch {
		case err == io.EOF && (len(r.rec) > 0 || r.begun), end:
			r.segment(len(r.rec), true)
		}
		r.err = err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// segment passes n bytes of the record on.
func (r *recordReader) segment(n int, last bool) {
	part := byte(wholeRecord)
	switch {
	case r.begun && last:
		part = lastSegment
	case r.begun:
		part = midSegment
	case !last:
		part = firstSegment
	}
	r.out = binary.BigEndian.AppendUint16(r.out, uint16(n+wordSize))
	r.out = append(append(r.out, part, 0), r.rec[:n]...)
	r.rec = append(r.rec[:0], r.rec[n:]...)
	r.begun = !last
}

// byteReader is a bufio.Reader that passes on the end of what it reads at once.
type byteReader = bufio.Reader

func newByteReader(r io.Reader) *byteReader { return bufio.NewReaderSize(r, 16<<10) }
