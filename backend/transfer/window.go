package transfer

import (
	"context"
	"io"
	"time"
)

const (
	firstRange = 1 << 20 // length of the first ranges of a window, and how often a streaming reader looks back
	lastRange  = 8 << 20
)

// window holds ranges that are fetched ahead, in order. It widens while its reader waits for it and narrows while it waits
// for its reader.
type window struct {
	fetches []*fetch // the first one is being delivered
	next    int64    // offset of the next fetch
	length  int64    // of the next fetch
	width   int      // how many fetches there should be
}

// fetch is one range of a window.
type fetch struct {
	*lease
	done  chan struct{} // closed when all bytes are there, or err
	err   error
	took  time.Duration // for all bytes to come
	begun time.Time     // when the first was delivered
	taken int           // bytes delivered
}

// ahead starts the fetches that the window has room and the Budget has memory for, and reports whether there is any. Downloads
// leave half of the Budget to uploads, which cannot do without.
func (r *reader) ahead() bool {
	w := &r.window
	w.drop()
	for len(w.fetches) < w.width && w.next < r.end {
		n := min(w.length, r.end-w.next)
		l := r.budget.tryLease(n, r.budget.size/2)
		if l == nil {
			break
		}
		l.p = l.p[:n]
		f := &fetch{lease: l, done: make(chan struct{})}
		off := w.next
		r.wg.Go(func() {
			start := time.Now()
			f.err = guard(func() error { return r.fetch(f.p, off) })
			f.took = time.Since(start)
			close(f.done)
		})
		w.fetches = append(w.fetches, f)
		w.next += n
	}
	return len(w.fetches) > 0
}

// drop frees the first fetch if all of it was delivered. If that took longer than to fetch it, one request alone is quicker than
// the reader; if most of what is behind it is there already, a narrower window will do.
func (w *window) drop() {
	if len(w.fetches) == 0 || w.fetches[0].taken < len(w.fetches[0].p) {
		return
	}
	f := w.fetches[0]
	slow := time.Since(f.begun) > f.took
	f.free()
	w.fetches = w.fetches[1:]
	ready := 0
	for _, f := range w.fetches {
		if f.ready() {
			ready++
		}
	}
	if slow || ready > w.width/2 && w.width > 2 {
		w.width--
	}
}

// take returns the next bytes of the first fetch, at most n. If it has to wait for them, the window widens, to limit at most.
func (w *window) take(ctx context.Context, n, limit int) ([]byte, error) {
	f := w.fetches[0]
	if !f.ready() {
		w.width = min(2*max(w.width, 1), limit)
		w.length = min(2*w.length, lastRange)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	if f.taken == 0 {
		f.begun = time.Now()
	}
	b := f.p[f.taken:min(f.taken+n, len(f.p))]
	f.taken += len(b)
	return b, nil
}

func (f *fetch) ready() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// fetch reads the bytes at off into p, taking up again what breaks.
func (r *reader) fetch(p []byte, off int64) error {
	failures := 0
	for {
		n, err := r.fetchSome(p, off)
		if n == len(p) {
			return nil
		}
		if n > 0 {
			failures = 0
		}
		p, off = p[n:], off+int64(n)
		if failures++; final(err) || failures == attempts {
			return unexpected(err)
		}
		if err := pause(r.ctx, failures); err != nil {
			return err
		}
	}
}

func (r *reader) fetchSome(p []byte, off int64) (int, error) {
	body, err := r.open(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.ReadFull(body, p)
}
