package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestBudget(t *testing.T) {
	if n := budget(123); n != 123 {
		t.Errorf("budget(123) = %d", n)
	}
	old := debug.SetMemoryLimit(4 << 20)
	defer debug.SetMemoryLimit(old)
	if n := budget(0); n > 1<<20 || n <= 0 {
		t.Errorf("budget(0) with a limit of 4 MiB = %d, want at most 1 MiB", n)
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
