package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// benchmark is one row of figures: some work that the clients of a server do.
type benchmark struct {
	group    string
	name     string
	per      string // what a figure is for: "GiB", or else a file, a listing, a login
	sessions int
	runs     int
	latency  time.Duration // of every request to the store
	opens    bool          // the work opens its sessions itself
	without  string        // kinds that it says nothing about, by name
	prepare  func(ctx context.Context, s session, k kind, run int) error
	work     func(ctx context.Context, j job) (ops int, bytes int64, err error)
}

// job is what one of the clients has to do in one run.
type job struct {
	server *server
	session
	client, run int
}

// upload is the name of a file that nobody has sent yet.
func (j job) upload(i int) string {
	return fmt.Sprintf("up/%s-%d-%d-%d", j.server.name, j.run, j.client, i)
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// stock is what can be downloaded, and listed, before the servers start.
type stock struct {
	files []struct {
		name string
		size int64
		n    int
	}
	lists []struct{ n, copies int }
}

func (s *stock) file(name string, size int64, n int) {
	s.files = append(s.files, struct {
		name string
		size int64
		n    int
	}{name, size, n})
}

// stocked is what the selected benchmarks need.
func stocked(opts options, selected []benchmark) stock {
	var s stock
	s.file("large", opts.size, 1)
	s.file("4KiB", 4*kib, 1024)
	s.file("1MiB", mib, 64)
	s.file("10KB", 10_000, 1024)
	for _, n := range []int{1000, 100_000} {
		if slices.ContainsFunc(selected, func(b benchmark) bool { return strings.Contains(b.name, fmt.Sprint(n, " files")) }) {
			s.lists = append(s.lists, struct{ n, copies int }{n, opts.runs})
		}
	}
	return s
}

// down is the name of a file in stock.
func down(name string, i int) string { return fmt.Sprintf("down/%s-%06d", name, i) }

// listed is the name of a directory in stock with n files.
func listed(n, i int) string { return fmt.Sprintf("list/%d-%d", n, i) }

// benchmarks are all rows, in the order of the tables.
func benchmarks(opts options) []benchmark {
	var all []benchmark
	for _, sessions := range []int{1, 8} {
		plural := map[bool]string{true: "", false: "s"}[sessions == 1]
		all = append(all, benchmark{
			group: "Large files", name: fmt.Sprintf("upload, %d session%s", sessions, plural), per: "GiB", sessions: sessions, runs: opts.runs,
			work: func(ctx context.Context, j job) (int, int64, error) {
				return 1, opts.size, j.Store(ctx, fmt.Sprintf("up/%s-large-%d", j.server.name, j.client), opts.size)
			},
		}, benchmark{
			group: "Large files", name: fmt.Sprintf("download, %d session%s", sessions, plural), per: "GiB", sessions: sessions, runs: opts.runs,
			work: func(ctx context.Context, j job) (int, int64, error) {
				return 1, opts.size, j.Fetch(ctx, down("large", 0), opts.size)
			},
		})
	}
	for _, c := range []struct {
		name        string
		size        int64
		sessions, n int
	}{{"4KiB", 4 * kib, 1, 400}, {"4KiB", 4 * kib, 32, 30}, {"1MiB", mib, 1, 64}, {"1MiB", mib, 32, 8}} {
		all = append(all, small(opts, c.name, c.size, c.sessions, c.n, 0)...)
	}
	all = append(all, small(opts, "10KB", 10_000, 1, 60, 20*time.Millisecond)...)
	return append(all, lists(opts)...)
}

// small are benchmarks of n small files for each of some sessions.
func small(opts options, name string, size int64, sessions, n int, latency time.Duration) []benchmark {
	group, without := "Small files", ""
	if latency > 0 {
		group, without = fmt.Sprintf("A store that takes %v longer for each request", latency), "vsftpd proftpd"
	}
	label := fmt.Sprintf("of %s, %d sessions", name, sessions)
	if sessions == 1 {
		label = fmt.Sprintf("of %s, 1 session", name)
	}
	b := benchmark{group: group, per: "file", sessions: sessions, runs: opts.runs, latency: latency, without: without}
	up, fetch := b, b
	up.name, fetch.name = "upload "+label, "download "+label
	up.work = func(ctx context.Context, j job) (int, int64, error) {
		for i := range n {
			if err := j.Store(ctx, j.upload(i), size); err != nil {
				return i, 0, err
			}
		}
		return n, int64(n) * size, nil
	}
	stock := map[string]int{"1MiB": 64}[name]
	if stock == 0 {
		stock = 1024
	}
	fetch.work = func(ctx context.Context, j job) (int, int64, error) {
		for i := range n {
			if err := j.Fetch(ctx, down(name, ((j.run*sessions+j.client)*n+i)%stock), size); err != nil {
				return i, 0, err
			}
		}
		return n, int64(n) * size, nil
	}
	return []benchmark{up, fetch}
}

// lists are the benchmarks of directories and logins.
func lists(opts options) []benchmark {
	list := func(ctx context.Context, s session, k kind, n, copy int) error {
		if !k.store {
			copy = 0 // there is one on disk: nothing but the kernel remembers it
		}
		lines, err := s.List(ctx, k.verb, listed(n, copy))
		if err == nil && (lines < n || lines > n+3) { // the directory itself, the one above, a total
			err = fmt.Errorf("%d lines of a directory with %d files", lines, n)
		}
		return err
	}
	var all []benchmark
	for _, n := range []int{1000, 100_000} {
		cold := benchmark{
			group: "Listings", name: fmt.Sprintf("%d files, for the first time", n), per: "listing", sessions: 1, runs: opts.runs,
			work: func(ctx context.Context, j job) (int, int64, error) {
				return 1, 0, list(ctx, j, j.server.kind, n, j.run)
			},
		}
		warm := cold
		warm.name, warm.without = fmt.Sprintf("%d files, again", n), "vsftpd proftpd raw"
		warm.prepare = func(ctx context.Context, s session, k kind, run int) error { return list(ctx, s, k, n, run) }
		far := cold
		far.group, far.latency, far.without = "A store that takes 20ms longer for each request", 20*time.Millisecond, "vsftpd proftpd"
		far.name = fmt.Sprintf("list %d files, for the first time", n)
		all = append(all, cold, warm, far)
	}
	return append(all, benchmark{
		group: "Sessions", name: "logins, 8 at once", per: "login", sessions: 8, runs: opts.runs, opens: true, without: "raw",
		work: func(ctx context.Context, j job) (int, int64, error) {
			for i := range 10 {
				s, err := j.server.open(ctx)
				if err != nil {
					return i, 0, err
				}
				if err := s.Close(); err != nil {
					return i, 0, err
				}
			}
			return 10, 0, nil
		},
	})
}
