//go:build e2e

package main_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestE2EDemo runs the demo, and then every line that it prints for the shell, as a user would paste it.
func TestE2EDemo(t *testing.T) {
	tool(t, "curl")
	tool(t, "lftp")
	for name, dir := range map[string]string{"plain": "plain", "odd": `it's "my" $HOME \d [1] {a,b} ; x`} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), dir)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			runDemo(t, dir)
		})
	}
}

// runDemo does it in one directory.
func runDemo(t *testing.T, dir string) {
	cmd := exec.Command(binary(t), "demo")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		if strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "lftp ") {
			lines = append(lines, line)
		}
		if strings.Contains(line, "Ctrl") { // the last line
			break
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("hello from the demo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tools := map[string]bool{}
	for _, line := range lines {
		sh := exec.Command("bash", "-c", line)
		sh.Dir = dir
		t.Log(line)
		t.Log(run(t, sh))
		tools[strings.Fields(line)[0]] = true
	}
	if !tools["curl"] || !tools["lftp"] {
		t.Errorf("lines to paste: %q", lines)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended badly: %v", err)
	}
}
