// Package versitygw starts a real S3 server for end-to-end tests: versitygw over a temporary directory.
package versitygw

import (
	"bytes"
	"context"
	"crypto/rand"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/backend/storetest/free"
)

// Gateway is a running server with one empty bucket.
type Gateway struct {
	Endpoint  string // URL, path style
	Bucket    string
	AccessKey string
	SecretKey string
	dir       string
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{Bucket: "bucket", AccessKey: "sluice-test", SecretKey: rand.Text(), dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.dir, g.Bucket), 0o750); err != nil {
		t.Fatal(err)
	}
	address := free.Address(t)
	g.Endpoint = "http://" + address
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program(t), "--access", g.AccessKey, "--secret", g.SecretKey, "--port", address, "--quiet", "posix", g.dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("versitygw: %s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return g
		}
		if time.Now().After(deadline) {
			t.Fatalf("versitygw does not listen: %v", err)
		}
	}
}

// Uploads names the parts of multipart uploads that the server holds.
func (g *Gateway) Uploads(t testing.TB) []string {
	t.Helper()
	return Files(t, filepath.Join(g.dir, g.Bucket, ".sgwtmp", "multipart"))
}

// Uploaded is how many bytes those parts have.
func (g *Gateway) Uploaded(t testing.TB) int64 {
	t.Helper()
	return Bytes(t, filepath.Join(g.dir, g.Bucket, ".sgwtmp", "multipart"))
}

// Objects names the objects below a folder of the bucket.
func (g *Gateway) Objects(t testing.TB, folder string) []string {
	t.Helper()
	return Files(t, filepath.Join(g.dir, g.Bucket, folder))
}

// Files names the regular files below a directory; none if it does not exist.
func Files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return nil // what vanishes meanwhile is not there
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Bytes is the size of the files below a directory.
func Bytes(t testing.TB, dir string) (n int64) {
	t.Helper()
	for _, name := range Files(t, dir) {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// program is the binary in .tools/bin at the top of the repository.
func program(t testing.TB) string {
	t.Helper()
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path, err := filepath.Abs(filepath.Join(dir, ".tools", "bin", "versitygw"))
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				t.Fatalf("versitygw is missing: run `make tools` (%v)", err)
			}
			return path
		}
		if strings.Count(dir, "..") > 10 {
			t.Fatal("no go.mod above " + strconv.Quote(dir))
		}
	}
}
