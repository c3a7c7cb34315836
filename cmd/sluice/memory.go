package main

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent is how much the heap may grow between two collections. Most of it is part buffers without pointers, which cost
// nothing to mark, and at Go's 100 each of them would be paid for twice.
const gcPercent = 25

// tuneGC applies gcPercent unless GOGC says otherwise.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// budget returns the memory for transfer buffers: what the configuration says, or for 0 a quarter of the process's memory
// limit; 0 where there is none, which leaves it to the engine.
func budget(configured int64) int64 {
	if configured > 0 {
		return configured
	}
	limit := min(debug.SetMemoryLimit(-1), cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"))
	if limit == math.MaxInt64 {
		return 0
	}
	return limit / 4
}

// cgroupLimit returns the memory limit of this process's control group (version 2) or of one above it, whichever is least;
// math.MaxInt64 if there is none. root is where the hierarchy is mounted, self the list of this process's groups.
func cgroupLimit(root, self string) int64 {
	least := int64(math.MaxInt64)
	groups, err := os.ReadFile(self)
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::") // cgroups(7)
		for ok {
			if p, err := os.ReadFile(filepath.Join(root, group, "memory.max")); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(p)), 10, 64); err == nil { // otherwise "max"
					least = min(least, n)
				}
			}
			ok = group != "/" && group != "."
			group = path.Dir(group)
		}
	}
	return least
}
