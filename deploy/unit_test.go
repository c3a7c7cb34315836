//go:build e2e

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestE2EUnit holds the systemd unit, alone and with low-ports.conf, against systemd's checks. An exposure of 2.0 is the most that
// the unit may have.
func TestE2EUnit(t *testing.T) {
	need(t, "systemd-analyze")
	unit, err := os.ReadFile("sluice.service")
	if err != nil {
		t.Fatal(err)
	}
	installed := strings.ReplaceAll(string(unit), "/usr/bin/sluice", program(t))

	exposure := map[bool]float64{}
	for _, lowPorts := range []bool{false, true} {
		dir := t.TempDir()
		file := filepath.Join(dir, "sluice.service")
		write(t, file, installed)
		if lowPorts {
			if err := os.Mkdir(file+".d", 0o755); err != nil {
				t.Fatal(err)
			}
			copyFile(t, "low-ports.conf", filepath.Join(file+".d", "low-ports.conf"))
		}
		verify := exec.Command("systemd-analyze", "verify", file)
		if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("verify, low ports %v: %v\n%s", lowPorts, err, out)
		}
		security := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20", "sluice.service")
		security.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "LC_ALL=C.UTF-8")
		out, err := security.CombinedOutput()
		m := regexp.MustCompile(`exposure level for sluice.service: ([0-9.]+)`).FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("security, low ports %v: %v\n%s", lowPorts, err, out)
		}
		if exposure[lowPorts], err = strconv.ParseFloat(string(m[1]), 64); err != nil {
			t.Fatal(err)
		}
	}
	if exposure[true] <= exposure[false] {
		t.Errorf("low-ports.conf was not read: exposure %v with, %v without", exposure[true], exposure[false])
	}
}

// TestE2EUnitGrace sees to it that systemd kills later than the program cuts transfers.
func TestE2EUnitGrace(t *testing.T) {
	unit, err := os.ReadFile("sluice.service")
	if err != nil {
		t.Fatal(err)
	}
	duration := func(pattern string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(pattern).FindSubmatch(unit)
		if m == nil {
			t.Fatalf("no %s", pattern)
		}
		d, err := time.ParseDuration(strings.Replace(string(m[1]), "min", "m", 1))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	grace, stop := duration(`(?m)^ExecStart=.* --grace (\S+)$`), duration(`(?m)^TimeoutStopSec=(\S+)$`)
	if stop < grace+20*time.Second {
		t.Errorf("TimeoutStopSec %v leaves too little after --grace %v", stop, grace)
	}
}
