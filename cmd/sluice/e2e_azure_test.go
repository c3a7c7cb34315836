//go:build e2e

package main_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/backend/storetest/azurite"
)

// TestE2EAzure runs clients over Azure's protocol: files of every size up and down, appended, renamed, whole trees, and what Azure
// cannot hold refused.
func TestE2EAzure(t *testing.T) {
	a := azurite.Start(t)
	store := fmt.Sprintf("{type: azure, account: %s, container: %s, endpoint: %q, accountKey: %q}", a.Account, a.Container, a.Endpoint, a.AccountKey)
	d := startOn(t, place{config: store}) // nobody can drop uncommitted blocks, and nobody sees them
	up := func(name string, size int64, args ...string) string {
		t.Helper()
		h := sha256.New()
		cmd := d.curl(append([]string{"-T", "-", d.url(false, name)}, args...)...)
		cmd.Stdin = io.TeeReader(randomBytes(3, size), h)
		run(t, cmd)
		return hexSum(h)
	}
	t.Run("sizes", func(t *testing.T) {
		for _, size := range []int64{0, 1, 5 << 20, 60<<20 + 7} {
			sum := up("piped", size)
			if got := output(t, d.curl(d.url(true, "piped"))); got != sum {
				t.Errorf("%d bytes came back different", size)
			}
		}
	})
	t.Run("append", func(t *testing.T) {
		for _, size := range []int64{3, 40 << 20} {
			up("log", size)
			up("log", 9<<20, "-a")
			h := sha256.New()
			_, _ = io.Copy(h, io.MultiReader(randomBytes(3, size), randomBytes(3, 9<<20))) // a hash takes everything
			if got := output(t, d.curl(d.url(false, "log"))); got != hexSum(h) {
				t.Errorf("9 MiB behind %d bytes came back different", size)
			}
		}
	})
	t.Run("trees", func(t *testing.T) {
		tree, down := t.TempDir(), t.TempDir()
		for i := range 300 {
			name := filepath.Join(tree, fmt.Sprintf("d%d", i%7), "ünï + 50% 日本 🚰 ~", fmt.Sprintf("f #%d", i))
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(strings.Repeat(name, i)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run(t, d.lftp(false, fmt.Sprintf("mirror -R --parallel=4 %q /tree; mv tree moved; mkdir -p other; mv moved other/moved", tree)))
		run(t, d.lftp(true, fmt.Sprintf("mirror --parallel=4 /other/moved %q", down)))
		run(t, exec.Command("diff", "-r", tree, down))
		run(t, d.lftp(false, "rm -r other"))
		if got := run(t, d.lftp(false, "cls -1")); strings.Contains(got, "other") || strings.Contains(got, "tree") {
			t.Errorf("after the removal there are %q", got)
		}
	})
	t.Run("python", func(t *testing.T) {
		run(t, exec.Command(tool(t, "python3"), "testdata/ftplib_client.py", fmt.Sprint(d.explicit), d.ca, user, password))
	})
	t.Run("backslash", func(t *testing.T) {
		cmd := d.curl("-T", "-", d.url(false, "a%5Cb"))
		cmd.Stdin = strings.NewReader("x")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "553") {
			t.Errorf("a backslash, which Azure takes for a slash: %v, %s", err, out)
		}
	})
	if log := d.log.String(); strings.Contains(log, a.AccountKey) || strings.Contains(log, "sig=") {
		t.Errorf("the log tells secrets:\n%s", log)
	}
}
