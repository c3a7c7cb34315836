//go:build e2e

package main_test

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	gib = 1 << 30
	// memoryLimit is what one large transfer may cost the program.
	memoryLimit = 200 << 20
)

// randomBytes yields n bytes that no layer can compress, the same for the same seed.
func randomBytes(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

func randomFile(t *testing.T, n int64) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "random.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), randomBytes(1, n)); err != nil {
		t.Fatal(err)
	}
	return path, hexSum(h)
}

func hexSum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// output runs a command and returns the checksum of what it writes to standard output.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	h := sha256.New()
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = h, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Args, err, errs.String())
	}
	return hexSum(h)
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hexSum(h)
}

// TestE2ELargeFile moves 1 GiB up and down with curl and with lftp in bounded memory, by one of them over explicit and by the other over implicit
// FTPS. By itself lftp uploads in MODE Z; on the file store it does not.
func TestE2ELargeFile(t *testing.T) {
	path, sum := randomFile(t, gib)
	inTurn(t, []string{"file", "s3"}, func(t *testing.T, d *daemon) { // they keep their objects on disk, where there is room
		onFile := strings.HasSuffix(t.Name(), "/file")
		t.Run("curl", func(t *testing.T) {
			run(t, d.curl("-T", path, d.url(!onFile, "curl.bin")))
			if got := output(t, d.curl(d.url(!onFile, "curl.bin"))); got != sum {
				t.Errorf("sha256 %s, want %s", got, sum)
			}
		})
		t.Run("lftp", func(t *testing.T) {
			down := filepath.Join(t.TempDir(), "down.bin")
			run(t, d.lftp(onFile, fmt.Sprintf("set ftp:use-mode-z %v; put %q -o lftp.bin; get lftp.bin -o %q", !onFile, path, down)))
			if got := fileSum(t, down); got != sum {
				t.Errorf("sha256 %s, want %s", got, sum)
			}
		})
		if peak := d.peak(); peak > memoryLimit {
			t.Errorf("the program used %d MiB", peak>>20)
		} else {
			t.Logf("the program used %d MiB", peak>>20)
		}
	})
}

// TestE2EIPv6 serves a client over IPv6, where only EPSV works.
func TestE2EIPv6(t *testing.T) {
	d := start(t, nil)
	run(t, func() *exec.Cmd {
		cmd := d.curl("-T", "-", fmt.Sprintf("ftp://[::1]:%d/six", d.explicit))
		cmd.Stdin = strings.NewReader("over IPv6")
		return cmd
	}())
	if got := run(t, d.curl(fmt.Sprintf("ftp://[::1]:%d/six", d.explicit))); got != "over IPv6" {
		t.Errorf("%q", got)
	}
}
