package main

import (
	"math"
	"os"
	"path/filepath"
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

// TestTuneGC: the ballast is small beside a memory limit, and who sets GOGC gets what he wants.
func TestTuneGC(t *testing.T) {
	old := debug.SetMemoryLimit(64 << 20)
	percent := debug.SetGCPercent(100)
	defer func() {
		debug.SetMemoryLimit(old)
		debug.SetGCPercent(percent)
		ballast = nil
	}()
	t.Setenv("GOGC", "200")
	if tuneGC(); ballast != nil || debug.SetGCPercent(100) != 100 {
		t.Error("GOGC is not left alone")
	}
	t.Setenv("GOGC", "")
	if tuneGC(); len(ballast) != 1<<20 || debug.SetGCPercent(100) != gcPercent {
		t.Errorf("a ballast of %d bytes under a limit of 64 MiB", len(ballast))
	}
}
