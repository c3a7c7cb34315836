package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBudget(t *testing.T) {
	if n := newBudget(1250).Size(); n != 1250 {
		t.Errorf("of 1250 bytes that are given, it takes %d", n)
	}
	old := debug.SetMemoryLimit(64 << 20)
	defer debug.SetMemoryLimit(old)
	if n := newBudget(0).Size(); n > 16<<20 || n <= 0 {
		t.Errorf("of a limit of 64 MiB it takes %d bytes, want at most 16 MiB", n)
	}
	debug.SetMemoryLimit(8 << 20)
	if n := newBudget(0).Size(); n != 4<<20 {
		t.Errorf("of a limit of 8 MiB it takes %d bytes, want 4 MiB", n)
	}
}

// GOMEMLIMIT is meant for the process: the heap gets what the buffers leave.
func TestLeaveRoom(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("buffers are of the heap")
	}
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

func TestCgroupLimit(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	self := write("self", "1:name=systemd:/x\n0::/a.slice/b.service\n")
	if n := cgroupLimit(root, self); n != math.MaxInt64 {
		t.Errorf("without files: %d", n)
	}
	write("a.slice/b.service/memory.max", "max\n")
	if n := cgroupLimit(root, self); n != math.MaxInt64 {
		t.Errorf("max: %d", n)
	}
	write("a.slice/memory.max", "1048576\n")
	if n := cgroupLimit(root, self); n != 1<<20 {
		t.Errorf("limit of the group above: %d", n)
	}
	write("a.slice/b.service/memory.max", "524288\n")
	if n := cgroupLimit(root, self); n != 1<<19 {
		t.Errorf("own limit: %d", n)
	}
	if n := cgroupLimit(root, filepath.Join(root, "missing")); n != math.MaxInt64 {
		t.Errorf("no cgroups: %d", n)
	}
}
