package transfer

import (
	"context"
	"io"
	"time"
)

// fill reads the next part into rest. It returns early with a smaller one where the part is large enough to be shipped and the
// memory for more is not free. What it had read when it failed is there as well.
func (u *upload) fill() (eof bool, err error) {
	limit := u.partSize()
	l, err := u.first(limit)
	if err != nil {
		return false, err
	}
	u.rest = l
	l.p = append(l.p, u.peeked...)
	u.peeked = nil
	start := time.Now()
	for {
		n := len(l.p)
		if n == cap(l.p) {
			if int64(n) == limit {
				break
			}
			enough := int64(n) >= u.smallest()
			grown, err := l.grow(u.ctx, min(larger(int64(n)), limit), !enough)
			if err != nil {
				return false, err
			}
			if !grown {
				break
			}
		}
		m, err := u.read(l.p[n:cap(l.p)])
		l.p = l.p[:n+m]
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	u.quick = float64(len(l.p)) >= quickRate*time.Since(start).Seconds()
	if u.parts > 0 {
		return false, nil
	}
	// A file that ends with its first part is one Put, so ask for the byte behind it before the part goes.
	var next [1]byte
	m, err := u.read(next[:])
	u.peeked = append(u.peeked, next[:m]...)
	switch {
	case m == 1:
		return false, nil
	case err == io.EOF:
		return true, nil
	}
	return false, err
}

// larger is the capacity that follows on n bytes: a quarter more, and from 2 MiB on a multiple of that, a huge page each.
func larger(n int64) int64 {
	const whole = 2 << 20
	more := n + max(chunk, n/4)
	if more < whole {
		return more
	}
	return max(more/whole, n/whole+1) * whole
}

// quickRate is how many bytes a second an upload must bring to get buffers whole, or an eighth of the Budget at once where they are larger.
const quickRate = 1 << 20

// first returns the buffer that a part of limit bytes begins with.
func (u *upload) first(limit int64) (l *lease, err error) {
	n := min(chunk, limit)
	if !u.joined {
		l, err = u.budget.join(u.ctx, n, limit, u.cfg.Patience)
		u.joined = err == nil
		return l, err
	}
	if u.quick {
		ctx, cancel := context.WithTimeout(u.ctx, u.cfg.Patience) // who holds all may be stuck
		defer cancel()
		if l, err = u.budget.admit(ctx, demand{size: min(limit, max(n, u.budget.size/8))}, limit); err == nil || u.ctx.Err() != nil {
			return l, err
		}
	}
	return u.budget.admit(u.ctx, demand{size: n}, limit) // let in once, it may wait for as long as it takes
}

// read reads at least one byte, or returns an error.
func (u *upload) read(p []byte) (int, error) {
	for range 100 {
		if u.ctx.Err() != nil {
			return 0, context.Cause(u.ctx)
		}
		if u.ended {
			return 0, io.EOF
		}
		if u.keep != nil {
			u.keep.waits()
		}
		n, err := u.r.Read(p)
		if u.keep != nil {
			u.keep.heard(n)
		}
		switch {
		case err == io.EOF:
			u.ended = true
		case err != nil:
			u.failed = true
			return 0, err // bytes that came with a failure are worth nothing
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.ErrNoProgress
}
