//go:build e2e

// Package deploy holds what packages the program. Its tests build the image, hold the systemd unit against systemd's own checks,
// and have the program check the sample configuration.
package deploy

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const certificates = "../testdata/certificates/"

// TestE2ESample has the program check the sample configuration, beside the files that it names.
func TestE2ESample(t *testing.T) {
	dir := t.TempDir()
	copyFile(t, "sluice.yaml", filepath.Join(dir, "sluice.yaml"))
	copyFile(t, certificates+"localhost.crt", filepath.Join(dir, "tls.crt"))
	copyFile(t, certificates+"localhost.key", filepath.Join(dir, "tls.key"))
	copyFile(t, certificates+"localhost.crt", filepath.Join(dir, "clients.crt"))
	for _, user := range []string{"lab", "zos", "scanner"} {
		write(t, filepath.Join(dir, user+".hash"), passwordHash+"\n")
	}
	check := exec.Command(program(t), "config", "check", "--config", filepath.Join(dir, "sluice.yaml"))
	check.Env = []string{"LAB_ACCESS_KEY=key", "LAB_SECRET_KEY=secret"}
	run(t, check)
}

// program builds the static program and returns its path.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sluice")
	build := exec.Command("go", "build", "-tags", "disable_grpc_modules", "-trimpath", "-o", bin, "../cmd/sluice") // as make build, whose compiled packages it shares
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	run(t, build)
	return bin
}

// need fails the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: run `make tools`", p)
		}
	}
}

// run returns what the command writes to standard output.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(data))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freePorts returns addresses on loopback that nobody listens on.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // together, so that no port comes twice
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}
