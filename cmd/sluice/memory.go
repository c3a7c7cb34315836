package main

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"sluice/backend/transfer"
	"sluice/cmd/sluice/internal/config"
)

// gcPercent is how much the heap may grow between two collections. It is small beside the buffers, which are no part of it, but for what
// sessions need: of a thousand that upload, Go's 100 would cost 50 MiB more, and 25 costs a small file a quarter of its CPU time.
const gcPercent = 50

// ballast counts as heap and is never touched, so that it takes no memory: the few MiB that some sessions need would otherwise be collected each
// time that they have grown by half, which cost a small file a sixth of its CPU time.
var ballast []byte

const ballastSize = 16 << 20

// tuneGC applies gcPercent, and makes the ballast, unless GOGC says otherwise. The runtime counts what is not touched towards a memory limit, too.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		ballast = make([]byte, min(ballastSize, debug.SetMemoryLimit(-1)/64))
	}
}

// perUpload is what an upload costs besides its buffers: the TLS of its data connection, the stacks of its goroutines, and a request to the
// store with its connection.
const perUpload = 160 << 10

// newBudget returns the memory for transfers: what the configuration says, or for 0 a quarter of the process's memory limit,
// but no less than may be configured.
func newBudget(configured int64) *transfer.Budget {
	size := configured
	if limit := min(debug.SetMemoryLimit(-1), cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup")); size == 0 && limit < math.MaxInt64 {
		size = max(limit/4, config.LeastMemory)
	}
	return transfer.NewBudget(size, perUpload)
}

// leaveRoom lowers the memory limit of the runtime, if there is one, by what buffers may take, which the runtime does not see where
// they are no part of the heap. A quarter always stays: nothing is gained by collecting all the time. undo sets it back.
func leaveRoom(b *transfer.Budget) (undo func()) {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 || runtime.GOOS != "linux" {
		return func() {}
	}
	debug.SetMemoryLimit(max(limit-b.Size()/8*9, limit/4))
	return func() { debug.SetMemoryLimit(limit) }
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
