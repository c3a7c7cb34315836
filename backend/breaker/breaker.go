// Package breaker gives a store a pause that throttles or does not answer any more: its requests fail at once for a while, in place
// of being sent and repeated by every session. The drivers send their requests through it; it knows HTTP, and no store.
package breaker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"sluice/backend"
)

// A store that answers one request out of many is not down, and what is over in seconds is waited out by those who repeat their
// requests. So it takes both a number of failures in a row and a time.
const (
	failures = 20
	while    = 10 * time.Second
	pause    = 10 * time.Second // then one request is tried
)

// Config says whose breaker it is.
type Config struct {
	Store  string       // its name in the log
	Logger *slog.Logger // nil: nothing is logged
}

// Breaker stands before one store. A nil Breaker lets everything through.
type Breaker struct {
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// New returns a breaker that lets requests through.
func New(cfg Config) *Breaker {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("store", cfg.Store)
	var since time.Time // of the failures in a row; the circuit calls back one at a time
	return &Breaker{circuit: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:    pause,
		IsExcluded: func(err error) bool { return errors.Is(err, errGone) },
		ReadyToTrip: func(c gobreaker.Counts) bool {
			if c.ConsecutiveFailures == 1 {
				since = time.Now()
			}
			return c.ConsecutiveFailures >= failures && time.Since(since) >= while
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				log.Warn("the store throttles or does not answer: it is given a pause", "pause", pause)
			case gobreaker.StateHalfOpen:
				log.Info("the store is tried again")
			case gobreaker.StateClosed:
				log.Info("the store answers again")
			}
		},
	})}
}

var (
	errGone = errors.New("nobody waits for the answer")
	errBusy = errors.New("the store throttles")
	errNone = errors.New("no outcome")
)

// Do sends a request, unless the store has a pause: then its error wraps backend.ErrPaused. A request whose context has ended says
// nothing about the store.
func (b *Breaker) Do(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if b == nil {
		return send(r)
	}
	done, err := b.circuit.Allow()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a transport does
		}
		return nil, pausedError{fmt.Errorf("%w: %w", backend.ErrPaused, err)}
	}
	var once sync.Once
	late := false
	outcome := func(err error) {
		once.Do(func() { done(err) })
		if late && err == nil {
			done(nil)
		}
	}
	defer once.Do(func() { done(errNone) }) // of a panic
	if b.circuit.State() == gobreaker.StateHalfOpen {
		// The one that is tried keeps all others waiting. It may have much to send: another may be tried, and both may succeed.
		defer time.AfterFunc(pause, func() { once.Do(func() { late = true; done(errGone) }) }).Stop()
	}
	resp, err := send(r)
	switch {
	case err != nil && r.Context().Err() != nil:
		outcome(errGone)
	case err != nil:
		outcome(err)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		outcome(errBusy)
	default:
		outcome(nil)
	}
	return resp, err
}

// pausedError tells the SDKs, each in its own way, that there is no use in another try.
type pausedError struct{ error }

func (e pausedError) Unwrap() error      { return e.error }
func (pausedError) RetryableError() bool { return false } // of Amazon's
func (pausedError) NonRetriable()        {}               // of Microsoft's
