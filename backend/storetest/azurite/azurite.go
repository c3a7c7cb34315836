// Package azurite starts a real server of Azure Blob Storage's protocol for end-to-end tests: Azurite over a temporary
// directory.
package azurite

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/backend/storetest/free"
)

// Server is a running server with one empty container.
type Server struct {
	Endpoint   string // URL, with the account in its path
	Account    string
	AccountKey string // base64
	Container  string
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails
	s := &Server{Account: "sluicetest", AccountKey: base64.StdEncoding.EncodeToString(key), Container: "container"}
	address := free.Address(t)
	_, port, _ := net.SplitHostPort(address) // it has one
	s.Endpoint = "http://" + address + "/" + s.Account
	var log bytes.Buffer
	// The SDK speaks a newer version of the protocol than the server knows by name.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program(t), "--blobHost", "127.0.0.1", "--blobPort", port,
		"--location", t.TempDir(), "--skipApiVersionCheck", "--disableTelemetry", "--silent")
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+s.Account+":"+s.AccountKey)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("azurite: %s", log.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("azurite does not listen: %v: %s", err, log.String())
		}
	}
	s.create(t)
	return s
}

// Another returns the same server with an empty container of its own, which is there in no time.
func (s *Server) Another(t testing.TB) *Server {
	t.Helper()
	other := *s
	other.Container = strings.ToLower(rand.Text())
	other.create(t)
	return &other
}

// create makes the container: Create Container, authorized as "Authorize with Shared Key" says.
func (s *Server) create(t testing.TB) {
	t.Helper()
	const version = "2021-12-02"
	date := time.Now().UTC().Format(http.TimeFormat)
	sign := fmt.Sprintf("PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:%s\nx-ms-version:%s\n/%s/%s/%s\nrestype:container", date, version, s.Account, s.Account, s.Container)
	key, err := base64.StdEncoding.DecodeString(s.AccountKey)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(sign)) // never fails
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint+"/"+s.Container+"?restype=container", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Ms-Date", date)
	req.Header.Set("X-Ms-Version", version)
	req.Header.Set("Authorization", "SharedKey "+s.Account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body) // for the message alone
		t.Fatalf("azurite makes no container: %s: %s", resp.Status, text)
	}
}

// program is the script in .tools at the top of the repository.
func program(t testing.TB) string {
	t.Helper()
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path, err := filepath.Abs(filepath.Join(dir, ".tools", "node_modules", ".bin", "azurite-blob"))
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				t.Fatalf("azurite is missing: run `make tools` (%v)", err)
			}
			return path
		}
		if strings.Count(dir, "..") > 10 {
			t.Fatalf("no go.mod above %q", dir)
		}
	}
}
