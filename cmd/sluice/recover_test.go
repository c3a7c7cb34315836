package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

// Unfinished renames are looked for at the start and every few minutes, and a store that fails is asked again.
func TestRecoverRenames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var asked atomic.Int32
		store := mem.New(mem.Config{Fault: func(op, key string) error {
			if op == "list" && strings.HasPrefix(key, ".sluice/renames/") {
				asked.Add(1)
				return errors.New("out of order")
			}
			return nil
		}})
		var log bytes.Buffer
		done := make(chan struct{})
		go func() {
			defer close(done)
			recoverRenames(ctx, map[string]backend.Store{"lab": store}, transfer.New(transfer.Config{}), slog.New(slog.NewJSONHandler(&log, nil)))
		}()
		for want := 1; want <= 3; want++ {
			synctest.Wait()
			if got := int(asked.Load()); got != want {
				t.Errorf("asked %d times, want %d", got, want)
			}
			time.Sleep(recoverEvery)
		}
		cancel()
		<-done
		if got := log.String(); !strings.Contains(got, `"store":"lab"`) || !strings.Contains(got, "out of order") {
			t.Errorf("log %s", got)
		}
	})
}
