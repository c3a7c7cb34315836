package main

import (
	"fmt"
	"math"
)

// promise is a figure that Sluice is held to.
type promise struct {
	text     string
	measured func(report) (float64, bool) // false where it was not measured
	bound    float64
	least    bool // the bound is the least that is wanted; otherwise the most
	unit     string
}

// kept reports whether a figure is what was promised.
func (p promise) kept(f float64) bool {
	if p.least {
		return f >= p.bound
	}
	return f <= p.bound
}

// row is one of the table of promises; empty where nothing was measured.
func (p promise) row(r report) string {
	f, ok := p.measured(r)
	if !ok {
		return ""
	}
	wanted, measured, verdict := "at most", figure(f)+p.unit, "kept"
	if p.least {
		wanted = "at least"
	}
	if math.IsNaN(f) {
		measured = "failed"
	}
	if !p.kept(f) {
		verdict = "**missed**"
	}
	return fmt.Sprintf("| %s | %s | %s %s%s | %s |\n", p.text, measured, wanted, figure(p.bound), p.unit, verdict)
}

// promises are all of them, in the order of the tables.
func promises(opts options) []promise {
	up, down := fmt.Sprintf("upload of %s, 1 session", amount(opts.size)), fmt.Sprintf("download of %s, 1 session", amount(opts.size))
	const (
		small, smaller = "upload of 4KiB, 1 session", "download of 4KiB, 1 session"
		cold, warm     = "100000 files, for the first time", "100000 files, again"
	)
	many := []string{fmt.Sprintf("64 uploads of %s at once", amount(opts.many)), "1000 uploads of 200 KiB at once"}
	room := fmt.Sprintf("peak memory above the %s for buffers", amount(buffers))
	return []promise{
		{up + ": CPU per GiB", of(up, result.cost), 1.4, false, " s"},
		{up + ": CPU beside vsftpd's", beside(up, "vsftpd", result.cost), 2, false, " x"},
		{up + ": rate beside vsftpd's", beside(up, "vsftpd", result.rate), 0.6, true, " x"},
		{down + ": CPU per GiB", of(down, result.cost), 1.1, false, " s"},
		{down + ": CPU beside vsftpd's", beside(down, "vsftpd", result.cost), 2, false, " x"},
		{down + ": rate beside vsftpd's", beside(down, "vsftpd", result.rate), 0.6, true, " x"},
		{small + ": CPU per file", of(small, result.cost), 3, false, " ms"},
		{small + ": files per second beside vsftpd's", beside(small, "vsftpd", result.rate), 0.6, true, " x"},
		{smaller + ": CPU per file", of(smaller, result.cost), 3, false, " ms"},
		{smaller + ": files per second beside vsftpd's", beside(smaller, "vsftpd", result.rate), 0.6, true, " x"},
		{many[0] + ": " + room, of(many[0], result.beyond), 100, false, " MiB"},
		{many[1] + ": " + room, of(many[1], result.beyond), 100, false, " MiB"},
		{cold + ": time beside the store's own", beside(cold, "raw", result.wait), 1.2, false, " x"},
		{warm, of(warm, result.wait), 200, false, " ms"},
		{"upload of 10KB, 1 session, 20 ms a request", of("upload of 10KB, 1 session", result.rate), 35, true, " /s"},
		{"download of 10KB, 1 session, 20 ms a request", of("download of 10KB, 1 session", result.rate), 40, true, " /s"},
		{"list " + cold + ", 20 ms a request: time beside the store's own", beside("list "+cold, "raw", result.wait), 1.2, false, " x"},
		{"list " + warm + ", 20 ms a request: time beside that of the first", func(r report) (float64, bool) {
			first, ok := of("list "+cold, result.wait)(r)
			again, there := of("list "+warm, result.wait)(r)
			return again / first, ok && there
		}, 0.1, false, " x"},
	}
}

// of is a figure of Sluice in a benchmark.
func of(name string, what func(result) float64) func(report) (float64, bool) {
	return func(r report) (float64, bool) { return r.figure(name, "sluice", what) }
}

// beside is a figure of Sluice as a multiple of that of another server.
func beside(name, other string, what func(result) float64) func(report) (float64, bool) {
	return func(r report) (float64, bool) {
		ours, ok := r.figure(name, "sluice", what)
		theirs, there := r.figure(name, other, what)
		return ours / theirs, ok && there
	}
}

// figure is one of a benchmark, if that was measured; not a number where it failed, which keeps no promise.
func (r report) figure(name, server string, what func(result) float64) (float64, bool) {
	for _, res := range r.results {
		if res.benchmark.name != name || res.kind.name != server {
			continue
		}
		if res.failure != "" || len(res.samples) == 0 {
			return math.NaN(), true
		}
		return what(res), true
	}
	return 0, false
}

// wait is how long an operation takes, in milliseconds.
func (r result) wait() float64 { return 1000 / r.rate() }

// beyond is the peak memory above that for buffers, in MiB.
func (r result) beyond() float64 {
	return (r.median(func(s sample) float64 { return float64(s.peak) }) - buffers) / mib
}
