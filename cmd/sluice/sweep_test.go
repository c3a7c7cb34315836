package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sluice/backend"
	"sluice/backend/mem"
	"sluice/backend/transfer"
)

// Uploads that nobody has resumed are ended at the start and every few minutes, and a store that fails is asked again.
func TestSweepUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		store := mem.New(mem.Config{Fault: func(op, _ string) error {
			if broken.Load() && op == "list" {
				return errors.New("out of order")
			}
			return nil
		}})
		engine := transfer.New(transfer.Config{PartSize: 4})
		cut := io.MultiReader(strings.NewReader("some parts of a file"), iotest.ErrReader(io.ErrUnexpectedEOF))
		opts := transfer.UploadOptions{Resume: &transfer.Resumption{User: "ann", For: time.Hour}}
		if _, err := engine.Upload(t.Context(), store, "k", cut, opts); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		left := func() int { return len(store.Keys()) + len(store.Uploads()) }
		if left() == 0 {
			t.Fatal("nothing to sweep")
		}
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			sweepUploads(ctx, map[string]backend.Store{"lab": store}, engine, slog.New(slog.NewJSONHandler(&log, nil)))
		}()
		time.Sleep(time.Hour - time.Second)
		if left() == 0 {
			t.Error("swept too early")
		}
		broken.Store(true)
		time.Sleep(2 * sweepEvery)
		broken.Store(false)
		time.Sleep(sweepEvery)
		if left() > 0 {
			t.Errorf("left: %q, %q", store.Keys(), store.Uploads())
		}
		cancel()
		<-done
		if got := log.String(); !strings.Contains(got, `"store":"lab"`) || !strings.Contains(got, "out of order") {
			t.Errorf("log %s", got)
		}
	})
}
