package main

import (
	"bytes"
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
	"sluice/backend/vfs"
)

// Unfinished renames are looked for at the start and every minute, and a store that fails is asked again.
func TestRecoverRenames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		store := mem.New(mem.Config{Fault: func(op, key string) error {
			if op == "list" && strings.HasPrefix(key, ".sluice/renames/") {
				asked.Add(1)
				return errors.New("out of order")
			}
			return nil
		}})
		var log bytes.Buffer
		stop := recoverRenames(t.Context(), map[string]backend.Store{"lab": store}, transfer.New(transfer.Config{}), slog.New(slog.NewJSONHandler(&log, nil)))
		for want := 1; want <= 3; want++ {
			if got := int(asked.Load()); got != want {
				t.Errorf("asked %d times, want %d", got, want)
			}
			time.Sleep(recoverEvery)
			synctest.Wait()
		}
		stop()
		if got := log.String(); !strings.Contains(got, `"store":"lab"`) || !strings.Contains(got, "out of order") {
			t.Errorf("log %s", got)
		}
	})
}

// The start waits for the first look at every store, but not for ever.
func TestRecoverAtStart(t *testing.T) {
	for _, takes := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			slow := mem.New(mem.Config{Delay: func(string, string) time.Duration { return takes }})
			began := time.Now()
			stop := recoverRenames(t.Context(), map[string]backend.Store{"slow": slow, "quick": mem.New(mem.Config{})}, transfer.New(transfer.Config{}), slog.New(slog.DiscardHandler))
			if got, want := time.Since(began), min(takes, recoverAtStart); got != want {
				t.Errorf("it took %v, want %v", got, want)
			}
			stop()
		})
	}
}

// A rename whose process may live is looked at again soon, and finished when that process is dead.
func TestRecoverSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken, mended atomic.Bool
		store := mem.New(mem.Config{Fault: func(op, _ string) error {
			if op == "copy" {
				broken.Store(true)
			}
			if broken.Load() && !mended.Load() {
				return backend.ErrUnavailable
			}
			return nil
		}})
		for _, key := range []string{"d/a", "d/b"} {
			if _, err := store.Put(t.Context(), key, nil, backend.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		tree, err := vfs.New(vfs.Config{Mounts: []vfs.Mount{{Path: "/", Store: store, Rights: vfs.Full}}, Engine: transfer.New(transfer.Config{})})
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Rename(t.Context(), "/d", "/e"); err == nil {
			t.Fatal("renamed")
		}
		mended.Store(true)
		began := time.Now()
		stop := recoverRenames(t.Context(), map[string]backend.Store{"lab": store}, transfer.New(transfer.Config{}), slog.New(slog.DiscardHandler))
		defer stop()
		for len(store.Keys()) != 2 {
			if time.Sleep(time.Second); time.Since(began) > 30*time.Second {
				t.Fatalf("after %v: %q", time.Since(began), store.Keys())
			}
		}
	})
}
