package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/cmd/sluice/internal/bench/content"
)

// sample is what one run has measured.
type sample struct {
	ops      int
	bytes    int64
	time     time.Duration
	cpu      time.Duration // of the server
	peak     int64         // resident bytes of the server since it started
	requests map[string]int
}

// result are the runs of one benchmark on one server.
type result struct {
	benchmark
	kind
	samples []sample
	failure string
}

// median is that of a figure of the runs.
func (r result) median(figure func(sample) float64) float64 {
	var all []float64
	for _, s := range r.samples {
		all = append(all, figure(s))
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// compare runs one benchmark on all servers that it is for, which take turns, so that a busy machine is busy for each of them.
func compare(ctx context.Context, b benchmark, chosen []kind, at place) ([]result, error) {
	var running []*server
	defer func() {
		for _, s := range running {
			s.stop()
		}
	}()
	var results []result
	for _, k := range chosen {
		s, err := k.start(ctx, k, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		if k.store {
			s.null = at.null
		}
		running, results = append(running, s), append(results, result{benchmark: b, kind: k})
	}
	at.null.SetLatency(b.latency)
	defer at.null.SetLatency(0)
	for run := range b.runs {
		for i, s := range running {
			if results[i].failure != "" {
				continue
			}
			sample, err := measure(ctx, b, s, at, run)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s, %s: %v\n%s\n", b.name, s.name, err, s.tail())
				results[i].failure = err.Error()
				continue
			}
			results[i].samples = append(results[i].samples, sample)
		}
	}
	return results, nil
}

// measure does one run on one server.
func measure(ctx context.Context, b benchmark, s *server, at place, run int) (_ sample, err error) {
	sessions := make([]session, b.sessions)
	defer func() {
		for _, c := range sessions {
			if c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	for i := range sessions {
		if b.opens {
			continue
		}
		if sessions[i], err = s.open(ctx); err != nil {
			return sample{}, err
		}
	}
	if b.prepare != nil {
		if err := b.prepare(ctx, sessions[0], s.kind, run); err != nil {
			return sample{}, err
		}
	}
	// What earlier runs left, for the disk to write and in this process to collect, must not be paid for by this one.
	syscall.Sync()
	runtime.GC()
	before := at.null.Counts()
	busy := s.cpu()
	start := time.Now()
	var mu sync.Mutex
	var out sample
	group, groupCtx := errgroup.WithContext(ctx)
	for i, c := range sessions {
		group.Go(func() error {
			ops, bytes, err := b.work(groupCtx, job{server: s, session: c, client: i, run: run})
			mu.Lock()
			defer mu.Unlock()
			out.ops, out.bytes = out.ops+ops, out.bytes+bytes
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	out.time = time.Since(start)
	if b.opens {
		time.Sleep(300 * time.Millisecond) // what processes have used is known when they have ended
	}
	out.cpu, out.requests = s.cpu()-busy, map[string]int{}
	for op, n := range at.null.Counts() {
		if n -= before[op]; n > 0 {
			out.requests[op] = n
		}
	}
	if s.pid != 0 {
		out.peak = memory(s.pid, "VmHWM")
	}
	return out, nil
}

func (s *server) cpu() time.Duration {
	if s.pid == 0 {
		return 0
	}
	return cpu(s.pid)
}

// idle measures the resident memory of a session that does nothing, in bytes.
func idle(ctx context.Context, k kind, at place, n int) (float64, error) {
	s, err := k.start(ctx, k, at)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	first, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = first.Close() }()
	time.Sleep(at.opts.settle) // what a first login needed is given back by then
	before := memory(s.pid, "VmRSS")
	sessions := make([]session, n)
	defer func() {
		for _, c := range sessions {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range sessions {
		group.Go(func() (err error) {
			sessions[i], err = s.open(groupCtx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	time.Sleep(at.opts.settle)
	return float64(memory(s.pid, "VmRSS")-before) / float64(n), nil
}

// daemon is the user and the group that the servers on the local disk become: on Debian it has a home, which vsftpd insists on.
const daemon = 1

// fill puts the stock into the store and onto the disk.
func fill(s stock, at place, disk bool) error {
	put := func(n int, size int64, name func(int) string) error {
		at.null.Fill(n, size, name)
		for i := 0; i < n && disk; i++ {
			path := filepath.Join(at.data, name(i))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // servers read it as another user
				return err
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // servers read it as another user
			if err != nil {
				return err
			}
			if err := errors.Join(content.Write(f, 0, size), f.Close()); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range s.files {
		if err := put(f.n, f.size, func(i int) string { return down(f.name, i) }); err != nil {
			return err
		}
	}
	for _, l := range s.lists {
		for c := range l.copies {
			name := func(i int) string { return fmt.Sprintf("%s/file-%06d.dat", listed(l.n, c), i) }
			if c > 0 {
				at.null.Fill(l.n, 0, name)
			} else if err := put(l.n, 0, name); err != nil {
				return err
			}
		}
	}
	at.null.Fill(1, 0, func(int) string { return "up/keep" })
	up := filepath.Join(at.data, "up")
	return errors.Join(os.MkdirAll(up, 0o755), os.Chmod(at.data, 0o755), os.Chown(up, daemon, daemon)) //nolint:gosec // servers read it as another user
}
