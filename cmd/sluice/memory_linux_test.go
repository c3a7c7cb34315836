package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// GOMEMLIMIT is meant for the process: the heap gets what the buffers leave, which lie outside it on Linux.
func TestLeaveRoom(t *testing.T) {
	const mib = 1 << 20
	old := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(old)
	for _, c := range []struct{ limit, buffers, want int64 }{
		{1024 * mib, 256 * mib, 736 * mib}, {256 * mib, 512 * mib, 64 * mib}, {math.MaxInt64, 64 * mib, math.MaxInt64},
	} {
		debug.SetMemoryLimit(c.limit)
		undo := leaveRoom(newBudget(c.buffers))
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("of %d with %d for buffers, %d is left, want %d", c.limit, c.buffers, got, c.want)
		}
		if undo(); debug.SetMemoryLimit(-1) != c.limit {
			t.Errorf("%d was not set back", c.limit)
		}
	}
}
