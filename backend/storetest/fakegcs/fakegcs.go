// Package fakegcs starts an emulator of Google Cloud Storage for end-to-end tests: fake-gcs-server with its objects in memory.
package fakegcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
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

// Server is a running emulator with one empty bucket.
type Server struct {
	Endpoint string // URL
	Bucket   string
}

// Start starts an emulator that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	address := free.Address(t)
	_, port, _ := net.SplitHostPort(address) // it has one
	s := &Server{Endpoint: "http://" + address, Bucket: "bucket"}
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program(t),
		"-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", address, "-backend", "memory", "-log-level", "error")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("fake-gcs-server: %s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.healthy(t)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("fake-gcs-server does not answer: %v", err)
		}
	}
	s.NewBucket(t, s.Bucket)
	return s
}

// healthy asks whether it is up. A connection alone is no answer.
func (s *Server) healthy(t testing.TB) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/_internal/healthcheck", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// NewBucket makes another bucket.
func (s *Server) NewBucket(t testing.TB, name string) {
	t.Helper()
	s.call(t, http.MethodPost, "/storage/v1/b?project=test", `{"name":`+strconv.Quote(name)+`}`, nil)
}

// Names names the objects of the first bucket that begin with prefix.
func (s *Server) Names(t testing.TB, prefix string) (names []string) {
	t.Helper()
	var page struct {
		Items []struct{ Name string }
	}
	s.call(t, http.MethodGet, "/storage/v1/b/"+s.Bucket+"/o?prefix="+url.QueryEscape(prefix), "", &page)
	for _, o := range page.Items {
		names = append(names, o.Name)
	}
	return names
}

func (s *Server) call(t testing.TB, method, path, body string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("fake-gcs-server: %s %s: %s", method, path, resp.Status)
	}
	if answer != nil {
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
			t.Fatal(err)
		}
	}
}

// program is the binary in .tools/bin at the top of the repository.
func program(t testing.TB) string {
	t.Helper()
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path, err := filepath.Abs(filepath.Join(dir, ".tools", "bin", "fake-gcs-server"))
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				t.Fatalf("fake-gcs-server is missing: run `make tools` (%v)", err)
			}
			return path
		}
		if strings.Count(dir, "..") > 10 {
			t.Fatal("no go.mod above " + strconv.Quote(dir))
		}
	}
}
