package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"sluice/backend"
)

// TestSlowLine: a request may take longer than the timeout as long as it moves; a server that is silent is asked again.
func TestSlowLine(t *testing.T) {
	const timeout = time.Second
	var asked, silent atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if silent.Add(-1) >= 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		for { // twice the timeout in all
			_, err := io.CopyN(io.Discard, r.Body, 1<<20)
			if err != nil {
				break
			}
			time.Sleep(timeout / 10)
		}
		w.Header().Set("ETag", `"e"`)
	}))
	defer server.Close()
	s, err := Open(t.Context(), Config{
		Bucket: "b", Region: "us-east-1", Endpoint: server.URL, PathStyle: true, AccessKey: "k", SecretKey: "hidden", Checksum: "none", Timeout: timeout, Tries: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "k", bytes.Repeat([]byte("x"), 20<<20), backend.PutOptions{}); err != nil || asked.Load() != 1 {
		t.Errorf("slow: %v after %d requests", err, asked.Load())
	}
	silent.Store(1)
	if _, err := s.Put(t.Context(), "k", []byte("x"), backend.PutOptions{}); err != nil || asked.Load() != 3 {
		t.Errorf("silent once: %v after %d requests", err, asked.Load())
	}
	silent.Store(2)
	if _, err := s.Put(t.Context(), "k", []byte("x"), backend.PutOptions{}); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("silent: %v", err)
	}
}
