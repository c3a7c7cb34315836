package breaker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
)

// store answers as it is told to, and counts.
type store struct {
	t      *testing.T
	b      *Breaker
	status int // 0: none
	asked  int
	log    strings.Builder
}

func (s *store) ask(ctx context.Context) error {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://store.test", io.NopCloser(strings.NewReader("x")))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.b.Do(r, func(*http.Request) (*http.Response, error) {
		s.asked++
		if s.status == 0 {
			return nil, errors.New("connection reset")
		}
		return &http.Response{StatusCode: s.status, Body: http.NoBody}, nil
	})
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func bubble(t *testing.T, f func(t *testing.T, s *store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t, status: http.StatusOK}
		s.b = New(Config{Store: "drops", Logger: slog.New(slog.NewTextHandler(&s.log, nil))})
		f(t, s)
	})
}

// fail asks n times, once a second.
func (s *store) fail(ctx context.Context, n int) {
	for range n {
		_ = s.ask(ctx)
		time.Sleep(time.Second)
	}
}

// A store that throttles for long is left alone, is tried once at a time, and is used again when it answers.
func TestPause(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, 0} {
		bubble(t, func(t *testing.T, s *store) {
			s.status = status
			s.fail(t.Context(), failures-1)
			if err := s.ask(t.Context()); errors.Is(err, backend.ErrPaused) || s.asked != failures {
				t.Fatalf("%d: %v after %d requests", status, err, s.asked)
			}
			for range 100 {
				if err := s.ask(t.Context()); !errors.Is(err, backend.ErrPaused) || !errors.Is(err, backend.ErrUnavailable) {
					t.Fatalf("%d: in the pause: %v", status, err)
				}
			}
			time.Sleep(pause + time.Second)
			_ = s.ask(t.Context()) // fails again
			_ = s.ask(t.Context())
			if s.asked != failures+1 {
				t.Errorf("%d: %d requests, want one more than %d", status, s.asked, failures)
			}
			time.Sleep(pause + time.Second)
			s.status = http.StatusNotFound // an answer
			for range 3 {
				if err := s.ask(t.Context()); err != nil {
					t.Errorf("%d: behind the pause: %v", status, err)
				}
			}
			if log := s.log.String(); strings.Count(log, "is given a pause") != 2 || strings.Count(log, "is tried again") != 2 ||
				strings.Count(log, "answers again") != 1 || !strings.Contains(log, "store=drops") {
				t.Errorf("%d: the log says\n%s", status, log)
			}
		})
	}
}

// A store that has recovered, but whose requests take longer than a pause, is used again.
func TestPauseSlow(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.status = http.StatusServiceUnavailable
		s.fail(t.Context(), failures)
		time.Sleep(pause + time.Second)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://store.test", nil)
		for i := range 10 {
			if _, err := s.b.Do(r, func(*http.Request) (*http.Response, error) {
				time.Sleep(pause + 2*time.Second)
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if !strings.Contains(s.log.String(), "answers again") {
			t.Errorf("the log says\n%s", s.log.String())
		}
	})
}

// The one request that is tried behind a pause does not keep the others waiting for ever: not if it is stuck, and not if it panics.
func TestPauseStuck(t *testing.T) {
	for _, name := range []string{"stuck", "panic"} {
		bubble(t, func(t *testing.T, s *store) {
			s.status = http.StatusServiceUnavailable
			s.fail(t.Context(), failures)
			time.Sleep(pause + time.Second)
			s.status = http.StatusOK
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://store.test", nil)
			free := make(chan bool)
			go func() {
				defer close(free)
				defer func() { _ = recover() }()
				_, _ = s.b.Do(r, func(*http.Request) (*http.Response, error) {
					if name == "panic" {
						panic(name)
					}
					time.Sleep(time.Hour)
					return nil, errors.New("connection reset")
				})
			}()
			synctest.Wait()
			if err := s.ask(t.Context()); !errors.Is(err, backend.ErrPaused) {
				t.Errorf("%s: %v beside the one that is tried", name, err)
			}
			time.Sleep(2*pause + time.Second)
			if err := s.ask(t.Context()); err != nil {
				t.Errorf("%s: %v afterwards", name, err)
			}
			<-free
			if err := s.ask(t.Context()); err != nil {
				t.Errorf("%s: %v at last", name, err)
			}
		})
	}
}

// What others do not wait out for long, and what is no failure, changes nothing.
func TestNoPause(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, s *store){
		"a burst": func(ctx context.Context, s *store) {
			s.status = http.StatusServiceUnavailable
			for range 10 * failures {
				_ = s.ask(ctx)
			}
		},
		"few failures": func(ctx context.Context, s *store) { s.status = 0; s.fail(ctx, failures-2) },
		"one answer among many": func(ctx context.Context, s *store) {
			for range 5 {
				s.status = http.StatusServiceUnavailable
				s.fail(ctx, failures-1)
				s.status = http.StatusOK
				s.fail(ctx, 1)
			}
		},
		"other errors": func(ctx context.Context, s *store) { s.status = http.StatusForbidden; s.fail(ctx, 5*failures) },
		"clients that are gone": func(ctx context.Context, s *store) {
			gone, cancel := context.WithCancel(ctx)
			cancel()
			s.status = 0
			s.fail(gone, 5*failures)
		},
	} {
		bubble(t, func(t *testing.T, s *store) {
			run(t.Context(), s)
			if before := s.asked; errors.Is(s.ask(t.Context()), backend.ErrPaused) || s.asked != before+1 || s.log.Len() > 0 {
				t.Errorf("%s: the store has a pause\n%s", name, s.log.String())
			}
		})
	}
}

// A client that goes while its request is the one that tries the store leaves the try to the next.
func TestGoneWhileTried(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.status = 0
		s.fail(t.Context(), failures)
		time.Sleep(pause + time.Second)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.ask(gone)
		s.status = http.StatusOK
		if err := s.ask(t.Context()); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// Without a breaker everything is sent.
func TestNone(t *testing.T) {
	s := &store{t: t}
	for range 2 * failures {
		_ = s.ask(t.Context())
	}
	if s.asked != 2*failures {
		t.Errorf("%d requests were sent", s.asked)
	}
}
