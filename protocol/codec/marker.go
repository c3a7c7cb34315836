package codec

import (
	"bytes"
	"io"
)

// markEvery is how far restart markers are apart at least, in stored bytes.
const markEvery = 1 << 20

// marker sets restart markers (RFC 959 3.5).
type marker struct {
	frames frameWriter
	marked int64 // the offset of the last one
}

// at says that the file can be continued at an offset.
func (m *marker) at(offset int64) error {
	if offset-m.marked < markEvery {
		return nil
	}
	m.marked = offset
	return m.frames.mark(offset)
}

// markingWriter counts stored bytes, and sets markers behind what is written to it, or behind a line where the file has lines.
type markingWriter struct {
	w      io.Writer
	marks  *marker
	lines  bool
	offset int64
}

func (m *markingWriter) Write(p []byte) (int, error) {
	first := len(p)
	if m.lines {
		first = bytes.LastIndexByte(p, '\n') + 1
	}
	n, err := m.w.Write(p[:first])
	m.offset += int64(n)
	if err == nil && n > 0 {
		err = m.marks.at(m.offset)
	}
	if err != nil || n == len(p) {
		return n, err
	}
	more, err := m.w.Write(p[first:])
	m.offset += int64(more)
	return n + more, err
}
