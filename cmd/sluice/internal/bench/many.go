package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/cmd/sluice/internal/bench/load"
)

// many are benchmarks of uploads that all run at the same time, so that together they want more memory than Sluice has for buffers. Of the
// small ones none ends before each of them has begun.
func many(opts options) []benchmark {
	var all []benchmark
	for _, c := range []struct {
		sessions int
		size     int64
		together bool
	}{{64, opts.many, false}, {1000, 200 * kib, true}} {
		var arrivals barrier
		all = append(all, benchmark{
			group: "Many uploads", name: fmt.Sprintf("%d uploads of %s at once", c.sessions, amount(c.size)), per: "GiB",
			sessions: c.sessions, runs: 1, without: "vsftpd proftpd rclone raw",
			work: func(ctx context.Context, j job) (int, int64, error) {
				wait := func() error { return nil }
				if c.together {
					wait = func() error { return arrivals.wait(ctx, c.sessions) }
				}
				name := j.upload()
				if err := j.session.(*load.Session).StoreUntil(ctx, name, c.size, c.size-50*kib, wait); err != nil {
					return 0, 0, err
				}
				if o, ok := j.server.null.Object(name); !ok || o.Size != c.size || !o.Expected {
					return 0, 0, fmt.Errorf("%s was acknowledged, but the store has something else", name)
				}
				return 1, c.size, nil
			},
		})
	}
	return all
}

// barrier holds back whoever waits until n do. It is good for once.
type barrier struct {
	mu   sync.Mutex
	n    int
	full chan struct{}
}

func (b *barrier) wait(ctx context.Context, n int) error {
	b.mu.Lock()
	if b.full == nil {
		b.full = make(chan struct{})
	}
	if b.n++; b.n == n {
		close(b.full)
	}
	b.mu.Unlock()
	select {
	case <-b.full:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("the other uploads have not arrived"), ctx.Err())
	}
}
