package gcs

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/breaker"
)

// busy is a transport whose server always throttles.
type busy struct{ asked int }

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	b.asked++
	return &http.Response{
		StatusCode: http.StatusServiceUnavailable, Status: "503 Service Unavailable", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(`{"error": {"code": 503, "message": "slow down"}}`))),
	}, nil
}

// TestBreaker: a store that throttles all the time is asked no more, and what comes then does not wait.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Config{Bucket: "b", Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		server := &busy{}
		s.wire.base, s.wire.breaker = server, breaker.New(breaker.Config{})
		for name, call := range map[string]func() error{
			"stat": func() error { _, err := s.Stat(t.Context(), "k"); return err },
			"put":  func() error { _, err := s.Put(t.Context(), "k", nil, backend.PutOptions{}); return err },
		} {
			for err := call(); !errors.Is(err, backend.ErrPaused); err = call() {
				if err == nil || server.asked > 100 {
					t.Fatalf("%s: the store is still asked: %v", name, err)
				}
			}
			before, start := server.asked, time.Now()
			if err := call(); !errors.Is(err, backend.ErrPaused) || !errors.Is(err, backend.ErrUnavailable) || server.asked != before || time.Since(start) > 0 {
				t.Errorf("%s: %v after %v and %d requests", name, err, time.Since(start), server.asked-before)
			}
		}
	})
}
