package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on every Linux (proc(5)).
const tick = 10 * time.Millisecond

// family returns a process and all that descend from it and live.
func family(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if f := fields(child); err == nil && f != nil {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	slices.Sort(all)
	return all
}

// fields are those of /proc/PID/stat behind the name of the program; nil where the process is gone.
func fields(pid int) []string {
	p, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(p[strings.LastIndexByte(string(p), ')')+1:]))
}

// cpu is the time that a process and its descendants have computed, user and system, those that have ended included.
func cpu(pid int) time.Duration {
	var sum time.Duration
	for _, p := range family(pid) {
		f := fields(p)
		for i := 11; i <= 14 && f != nil; i++ { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(f[i], 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// memory sums a field of /proc/PID/status in bytes, VmRSS or VmHWM, over a process and its descendants. Pages that they share count
// for each of them.
func memory(pid int, field string) int64 {
	var sum int64
	for _, p := range family(pid) {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		for line := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(line, field+":"); ok {
				n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}
