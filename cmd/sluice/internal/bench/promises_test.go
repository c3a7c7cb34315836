package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestPromises: each promise is one of a benchmark that there is, and what failed or is too dear has not kept it.
func TestPromises(t *testing.T) {
	opts := options{runs: 1, size: gib, each: gib, many: 256 * mib}
	report := func(cpu time.Duration, failure string) (r report) {
		for _, b := range benchmarks(opts) {
			for _, k := range kinds {
				res := result{benchmark: b, kind: k, failure: failure}
				if failure == "" {
					res.samples = []sample{{ops: 1, bytes: gib, time: time.Second, cpu: cpu}}
				}
				r.results = append(r.results, res)
			}
		}
		return r
	}
	good, dear, failed := report(time.Millisecond, ""), report(time.Hour, ""), report(0, "no")
	for _, p := range promises(opts) {
		if f, ok := p.measured(good); !ok || math.IsNaN(f) {
			t.Errorf("%s: no benchmark measures it", p.text)
		}
		if row := p.row(failed); !strings.Contains(row, "| failed |") || !strings.Contains(row, "**missed**") {
			t.Errorf("%s: failed, and the row is %q", p.text, row)
		}
		if row := p.row(dear); strings.Contains(p.text, ": CPU per") && !strings.Contains(row, "**missed**") {
			t.Errorf("an hour of CPU time, and the row is %q", row)
		}
		if row := p.row(good); strings.Contains(p.text, ": CPU per") && !strings.Contains(row, "| kept |") {
			t.Errorf("a millisecond of CPU time, and the row is %q", row)
		}
	}
}
