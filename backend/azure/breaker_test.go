package azure

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/breaker"
)

// TestBreaker: a store that throttles all the time is asked no more, and what comes then does not wait.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s, err := open(account, guarded{direct{func(w http.ResponseWriter, _ *http.Request) {
			asked++
			fail(w, http.StatusServiceUnavailable, "ServerBusy")
		}}, breaker.New(breaker.Config{})}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for !errors.Is(stat(t, s), backend.ErrPaused) {
			if asked > 100 {
				t.Fatal("the store is still asked")
			}
		}
		before, start := asked, time.Now()
		if err := stat(t, s); !errors.Is(err, backend.ErrPaused) || !errors.Is(err, backend.ErrUnavailable) || asked != before || time.Since(start) > 0 {
			t.Errorf("%v after %v and %d requests", err, time.Since(start), asked-before)
		}
	})
}

func stat(t *testing.T, s *Store) error {
	t.Helper()
	_, err := s.Stat(t.Context(), "k")
	if err == nil {
		t.Fatal("no error")
	}
	return err
}
