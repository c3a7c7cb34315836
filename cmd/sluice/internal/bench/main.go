// Command bench measures Sluice beside other FTPS servers and writes the page of results: a table and a plot. It starts each server, puts
// load on it by clients in this process, and takes from the kernel what the server used. The object store is one that keeps nothing, in this
// process too, so that the bridge is measured and no disk. `make bench` runs it; it needs Linux, and root for the servers on the local disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"sluice/cmd/sluice/internal/bench/nulls3"
)

// options are the flags.
type options struct {
	sluice, refs, rclone string // programs; refs is where Debian's packages are unpacked
	out                  string // where the page goes; empty: it is printed
	servers, only        string
	runs, idle           int
	size, each, many     int64
	settle               time.Duration
}

func main() {
	var opts options
	flag.StringVar(&opts.sluice, "sluice", "bin/sluice", "the `program` to measure")
	flag.StringVar(&opts.refs, "refs", ".tools/ftpservers", "`directory` with the files of the packages vsftpd and proftpd")
	flag.StringVar(&opts.rclone, "rclone", ".tools/bin/rclone", "an rclone `program` that has serve ftp")
	flag.StringVar(&opts.out, "out", "", "`directory` for README.md and bench.svg; without it the table is printed")
	flag.StringVar(&opts.servers, "servers", "sluice,vsftpd,proftpd,rclone,raw", "`names` of the servers to measure")
	flag.StringVar(&opts.only, "only", "", "measure only what matches this `expression`")
	flag.IntVar(&opts.runs, "runs", 5, "runs of which the median counts")
	flag.IntVar(&opts.idle, "idle", 500, "idle sessions whose memory is measured")
	flag.Int64Var(&opts.size, "size", gib, "`bytes` of a large file")
	flag.Int64Var(&opts.each, "each", gib, "`bytes` of each large file where there are eight")
	flag.Int64Var(&opts.many, "many", 256*mib, "`bytes` of each file where there are 64")
	flag.DurationVar(&opts.settle, "settle", 20*time.Second, "how long sessions are idle before their memory is measured")
	flag.Parse()
	// Store and clients collect their garbage between the runs (measure), and within one only where there is much of it.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 << 30)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := bench(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, opts options) (err error) {
	only, err := regexp.Compile(opts.only)
	if err != nil {
		return err
	}
	for _, path := range []*string{&opts.sluice, &opts.refs, &opts.rclone} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	chosen := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return !slices.Contains(strings.Split(opts.servers, ","), k.name) })
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // servers enter it as another user
		return err
	}
	at, err := newPlace(dir, opts)
	if err != nil {
		return err
	}
	at.null = &nulls3.Server{}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at.store = "http://" + l.Addr().String()
	store := &http.Server{Handler: at.null, ReadHeaderTimeout: time.Minute}
	go func() { _ = store.Serve(l) }()
	defer func() { err = errors.Join(err, store.Close()) }()
	var selected []benchmark
	for _, b := range benchmarks(opts) {
		if only.MatchString(b.group + ": " + b.name) {
			selected = append(selected, b)
		}
	}
	if err := fill(stocked(opts, selected), at, slices.ContainsFunc(chosen, func(k kind) bool { return !k.store })); err != nil {
		return err
	}

	report := report{opts: opts, kinds: chosen, start: time.Now(), idle: map[string]float64{}}
	for _, b := range selected {
		without := func(k kind) bool { return slices.Contains(strings.Fields(b.without), k.name) }
		results, err := compare(ctx, b, slices.DeleteFunc(slices.Clone(chosen), without), at)
		if err != nil {
			report.short = fmt.Errorf("at %q: %w", b.name, err)
			break
		}
		report.results = append(report.results, results...)
		fmt.Fprintln(os.Stderr, progress(results))
	}
	for _, k := range chosen {
		if k.name == "raw" || report.short != nil || !only.MatchString("Sessions: idle") {
			continue
		}
		n, err := idle(ctx, k, at, opts.idle)
		if err != nil {
			report.short = fmt.Errorf("at the idle sessions of %s: %w", k.name, err)
			break
		}
		report.idle[k.name] = n
	}
	if opts.out == "" || report.short != nil { // a page of half a run replaces none of a whole one
		_, err = os.Stdout.WriteString(report.markdown())
		return errors.Join(err, report.short)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(opts.out, "README.md"), []byte(report.markdown()), 0o644),
		os.WriteFile(filepath.Join(opts.out, "bench.svg"), []byte(report.plot()), 0o644))
}

// progress is one line for each server, while the benchmarks run.
func progress(results []result) string {
	var lines []string
	for _, r := range results {
		lines = append(lines, r.group+" | "+strings.Join(r.cells(), " | "))
	}
	return strings.Join(lines, "\n")
}
