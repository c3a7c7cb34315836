package codec

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// Bounds of what an upload may make of its bytes: beyond freely many of them a client that sends one for each 250 is not
// compressing a file. deflate itself ends at about 1,030.
const (
	freely   = 64 << 20
	maxRatio = 250
)

// deflaters holds idle compressors by level; each weighs up to 1 MiB.
var deflaters [10]sync.Pool

// deflater compresses. It makes its compressor at the first byte.
type deflater struct {
	w     io.Writer
	level int
	z     *zlib.Writer
}

func newDeflater(w io.Writer, level int) *deflater { return &deflater{w: w, level: level} }

func (d *deflater) begin() (err error) {
	if d.z != nil {
		return nil
	}
	if z, ok := deflaters[d.level].Get().(*zlib.Writer); ok {
		z.Reset(d.w)
		d.z = z
		return nil
	}
	d.z, err = zlib.NewWriterLevel(d.w, d.level)
	return err
}

func (d *deflater) Write(p []byte) (int, error) {
	if err := d.begin(); err != nil {
		return 0, err
	}
	return d.z.Write(p)
}

// Close ends the stream; that of an empty file has bytes too.
func (d *deflater) Close() error {
	if err := d.begin(); err != nil {
		return err
	}
	if err := d.z.Close(); err != nil {
		return err
	}
	d.z.Reset(io.Discard)
	deflaters[d.level].Put(d.z)
	return nil
}

var inflaters sync.Pool

// inflater expands, up to a point. Behind the end of the compressed stream it demands the end of what it reads. Nothing at all is
// an empty file: so do clients send one.
type inflater struct {
	src *countReader
	z   io.ReadCloser
	out int64
	err error
}

func (i *inflater) Read(p []byte) (int, error) {
	if i.err != nil {
		return 0, i.err
	}
	if i.z == nil {
		if i.err = i.begin(); i.err != nil {
			return 0, i.err
		}
	}
	n, err := i.z.Read(p)
	i.out += int64(n)
	switch {
	case err == io.EOF:
		i.release()
		i.err = ended(i.src.buffered())
	case err != nil:
		i.err = i.translate(err)
	case i.out > freely && i.out/maxRatio > i.src.n:
		i.err = fmt.Errorf("%d bytes out of %d: %w", i.out, i.src.n, ErrBomb)
		n = 0
	}
	if n > 0 {
		return n, nil
	}
	return n, i.err
}

func (i *inflater) begin() error {
	// A flate reader takes byte for byte from a bufio.Reader, so that what stands behind the stream is not lost.
	if z, ok := inflaters.Get().(io.ReadCloser); ok {
		if err := z.(zlib.Resetter).Reset(i.src.buffered(), nil); err != nil {
			return i.translate(err)
		}
		i.z = z
		return nil
	}
	z, err := zlib.NewReader(i.src.buffered())
	if err != nil {
		return i.translate(err)
	}
	i.z = z
	return nil
}

func (i *inflater) release() {
	if i.z != nil {
		inflaters.Put(i.z)
		i.z = nil
	}
}

func (i *inflater) translate(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case i.src.n == 0 && i.src.err == io.EOF:
		return io.EOF
	case i.src.err != nil && i.src.err != io.EOF:
		return i.src.err // what the connection said, whatever zlib made of it
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return early(err)
	case errors.Is(err, zlib.ErrChecksum), errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrDictionary), errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// countReader counts what is read through it and keeps the first error.
type countReader struct {
	r   io.Reader
	n   int64
	err error
	buf *byteReader
}

func (c *countReader) buffered() *byteReader {
	if c.buf == nil {
		c.buf = newByteReader(c)
	}
	return c.buf
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}
