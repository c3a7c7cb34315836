package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"sluice/backend"
)

// OpenOptions choose what Open reads.
type OpenOptions struct {
	Offset int64  // first byte
	Length int64  // number of bytes; 0 means to the end
	ETag   string // this version, or ErrChanged; empty: the one that is there now

	sum *verifier // of what is read, if that is known
}

// Open reads an object from an offset. Whatever happens to the object meanwhile, the reader delivers one version of it
// and all of that, or an error: broken reads are taken up again where they broke, and ErrChanged is the error if the version
// is gone. Where the store tells a checksum of the whole object, all of it is compared with that before the last bytes are delivered. ctx governs the whole read; the reader must be closed, but not while a Read runs.
//
// The reader is one request that streams, as long as the store keeps up with whoever reads. A reader that mostly waits for the
// store gets up to Parallel ranges fetched ahead, while the Budget has memory to spare. It implements io.WriterTo.
func (e *Engine) Open(ctx context.Context, store backend.Store, key string, opts OpenOptions) (io.ReadCloser, backend.Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	body, obj, err := store.Open(ctx, key, backend.OpenOptions{Offset: opts.Offset, Length: opts.Length, ETag: opts.ETag})
	if err != nil {
		cancel()
		return nil, backend.Object{}, fmt.Errorf("open %s: %w", key, err)
	}
	r := &reader{
		Engine: e, ctx: ctx, cancel: cancel, store: store, key: key, etag: obj.ETag,
		body: body, pos: opts.Offset, end: obj.Size,
	}
	if opts.Length > 0 {
		r.end = min(r.end, opts.Offset+opts.Length)
	}
	if r.sum = opts.sum; r.sum == nil && opts.Offset == 0 && r.end == obj.Size {
		r.sum = verify(obj)
	}
	r.stop = r.end
	r.look()
	e.downloads.Add(1)
	return r, obj, nil
}

// reader delivers an object in order: up to stop from a body that streams, behind it from a window of ranges.
type reader struct {
	*Engine
	ctx    context.Context
	cancel context.CancelFunc
	store  backend.Store
	key    string
	etag   string
	sum    *verifier // nil: there is nothing to compare with
	closed bool
	failed error // what every further Read returns

	body     io.ReadCloser // delivers from pos on; nil where it must be opened again
	pos      int64         // next byte to deliver
	stop     int64         // where the body gives way to the window
	end      int64
	failures int // of the body, without a byte between

	lookAt int64         // where to look back at the progress of the body
	since  time.Time     // of the last look back
	waited time.Duration // for the body, since then

	window window
	wg     sync.WaitGroup // fetches
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, r.failed
	}
	b, err := r.some(p)
	if len(b) > 0 && &b[0] != &p[0] {
		copy(p, b)
	}
	return len(b), err
}

// scanty is how much is copied at once where the Budget has no more: what a TLS record holds.
const scanty = 16 << 10

// WriteTo implements io.WriterTo. What was fetched ahead is written from where it lies.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	var buf []byte
	if l := r.budget.tryLease(2*chunk, r.budget.size/2); l != nil {
		defer l.free()
		buf = l.p[:cap(l.p)]
	} else {
		buf = make([]byte, scanty)
	}
	for {
		b, err := r.some(buf)
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(b)
		written += int64(n)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
	}
}

// some returns the next bytes, at least one and at most len(buf). They are in buf or in the window, good until the next call.
func (r *reader) some(buf []byte) (b []byte, err error) {
	for r.failed == nil && r.pos < r.end {
		switch {
		case r.ctx.Err() != nil:
			r.failed = context.Cause(r.ctx)
		case r.pos < r.stop && r.body == nil:
			r.failed = r.reopen()
		case r.pos < r.stop:
			b, r.failed = r.stream(buf)
		case r.ahead():
			b, r.failed = r.window.take(r.ctx, len(buf), r.cfg.Parallel)
		default: // no memory for a window, or no need
			r.stop = r.end
			r.look()
		}
		if len(b) > 0 && r.counts(b) {
			return b, nil
		}
	}
	if r.failed == nil {
		return nil, io.EOF
	}
	return nil, fmt.Errorf("read %s at %d: %w", r.key, r.pos, r.failed)
}

// counts moves on by b, unless that is the end and the whole is not what the store keeps.
func (r *reader) counts(b []byte) bool {
	if r.sum != nil {
		_, _ = r.sum.Write(b)
		if r.pos+int64(len(b)) == r.end {
			r.failed = r.sum.check()
		}
	}
	if r.failed != nil {
		return false
	}
	r.pos += int64(len(b))
	return true
}

// stream reads from the body. Where the body breaks, it returns nothing, and an error only if there is no more point in trying.
func (r *reader) stream(buf []byte) ([]byte, error) {
	start := time.Now()
	n, err := r.body.Read(buf[:min(int64(len(buf)), r.stop-r.pos)])
	r.waited += time.Since(start)
	if n > 0 {
		r.failures = 0
		if r.pos+int64(n) >= r.lookAt {
			r.judge(r.pos + int64(n))
		}
	}
	if r.pos+int64(n) == r.stop || err != nil {
		r.body.Close()
		r.body = nil
	}
	if r.pos+int64(n) == r.end && err != nil && err != io.EOF && n > 0 {
		return nil, unexpected(err) // such as of a checksum: what is read again would not be compared
	}
	if n > 0 || err == nil {
		return buf[:n], nil
	}
	return nil, r.broken(err)
}

// broken waits before the next attempt, or returns the error if there should be none.
func (r *reader) broken(err error) error {
	r.failures++
	if final(err) || r.failures == attempts {
		return unexpected(err)
	}
	return pause(r.ctx, r.failures)
}

// unexpected makes sure that nobody takes an early end for the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *reader) reopen() error {
	body, err := r.open(r.pos, r.stop-r.pos)
	if err != nil {
		return r.broken(err)
	}
	r.body = body
	return nil
}

// open opens a range of the version that is being read.
func (r *reader) open(off, length int64) (io.ReadCloser, error) {
	body, obj, err := r.store.Open(r.ctx, r.key, backend.OpenOptions{Offset: off, Length: length, ETag: r.etag})
	if errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrRange) {
		return nil, fmt.Errorf("%w: %s", backend.ErrChanged, err.Error())
	}
	if err != nil {
		return nil, err
	}
	if obj.ETag != r.etag {
		body.Close()
		return nil, backend.ErrChanged
	}
	return body, nil
}

// look begins a new period of measuring the body.
func (r *reader) look() {
	r.lookAt, r.since, r.waited = r.pos+firstRange, time.Now(), 0
}

// judge opens the window behind the next mebibyte if more than half of the time since the last look went into waiting for the body.
func (r *reader) judge(pos int64) {
	hungry := 2*r.waited > time.Since(r.since)
	r.look()
	if !hungry || r.stop < r.end || r.end-pos < 3*firstRange {
		return
	}
	r.window = window{next: pos + firstRange, length: firstRange, width: 2}
	if r.ahead() {
		r.stop = pos + firstRange
	}
}

// Close implements io.Closer. It cancels what is under way and waits for it.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed, r.failed = true, errors.New("reader is closed")
	r.cancel()
	if r.body != nil {
		r.body.Close()
	}
	r.wg.Wait()
	for _, f := range r.window.fetches {
		f.free()
	}
	r.downloads.Add(-1)
	return nil
}
