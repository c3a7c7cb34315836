package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
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

var uploads atomic.Int64

// upload is the name of a file that nobody has sent yet.
func (j job) upload() string { return fmt.Sprintf("up/%s-%08d", j.server.name, uploads.Add(1)) }

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
	for _, size := range slices.Compact([]int64{opts.size, opts.each}) {
		s.file(fmt.Sprintf("large-%d", size), size, 1)
	}
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

// order is that of the tables.
var order = map[string]int{"Large files": 0, "Small files": 1, "Many uploads": 2, "Listings": 3, slow(20 * time.Millisecond): 4, "Sessions": 5}

// benchmarks are all rows, in the order of the tables.
func benchmarks(opts options) []benchmark {
	var all []benchmark
	all = append(all, large(opts, 1, opts.size)...)
	all = append(all, large(opts, 8, opts.each)...)
	for _, c := range []struct {
		name        string
		size        int64
		sessions, n int
	}{{"4KiB", 4 * kib, 1, 400}, {"4KiB", 4 * kib, 32, 30}, {"1MiB", mib, 1, 64}, {"1MiB", mib, 32, 8}} {
		all = append(all, small(opts, c.name, c.size, c.sessions, c.n, 0)...)
	}
	all = append(all, small(opts, "10KB", 10_000, 1, 60, 20*time.Millisecond)...)
	all = append(all, many(opts)...)
	all = append(all, lists(opts)...)
	slices.SortStableFunc(all, func(a, b benchmark) int { return order[a.group] - order[b.group] })
	return all
}

// large are benchmarks of one large file for each of some sessions.
func large(opts options, sessions int, size int64) []benchmark {
	label := fmt.Sprintf("%s, %d sessions", amount(size), sessions)
	if sessions == 1 {
		label = amount(size) + ", 1 session"
	}
	b := benchmark{group: "Large files", per: "GiB", sessions: sessions, runs: opts.runs}
	up, fetch := b, b
	up.name, fetch.name = "upload of "+label, "download of "+label
	up.work = func(ctx context.Context, j job) (int, int64, error) {
		return 1, size, j.Store(ctx, fmt.Sprintf("up/%s-large-%d", j.server.name, j.client), size)
	}
	fetch.work = func(ctx context.Context, j job) (int, int64, error) {
		return 1, size, j.Fetch(ctx, down(fmt.Sprintf("large-%d", size), 0), size)
	}
	return []benchmark{up, fetch}
}

// amount writes a size.
func amount(n int64) string {
	switch {
	case n%gib == 0:
		return fmt.Sprintf("%d GiB", n/gib)
	case n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	}
	return fmt.Sprintf("%d KiB", n/kib)
}

// small are benchmarks of n small files for each of some sessions.
func small(opts options, name string, size int64, sessions, n int, latency time.Duration) []benchmark {
	group, without := "Small files", ""
	if latency > 0 {
		group, without = slow(latency), "vsftpd proftpd"
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
			if err := j.Store(ctx, j.upload(), size); err != nil {
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

// slow is the group of benchmarks before a store with a latency.
func slow(latency time.Duration) string {
	return fmt.Sprintf("A store that takes %v longer for each request", latency)
}

// lists are the benchmarks of directories and logins.
func lists(opts options) []benchmark {
	list := func(ctx context.Context, s session, k kind, n, which int) error {
		if !k.store {
			which = 0 // there is one on disk: nothing but the kernel remembers it
		}
		lines, err := s.List(ctx, k.verb, listed(n, which))
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
		far.group, far.latency, far.without = slow(20*time.Millisecond), 20*time.Millisecond, "vsftpd proftpd"
		far.name = fmt.Sprintf("list %d files, for the first time", n)
		if n > 1000 {
			far.without += " rclone" // it asks for every file, one after the other
		}
		again := far
		again.name, again.prepare, again.without = fmt.Sprintf("list %d files, again", n), warm.prepare, far.without+" raw"
		all = append(all, cold, warm, far, again)
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
