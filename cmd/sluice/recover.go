package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/cmd/sluice/internal/logs"
)

const (
	recoverEvery   = time.Minute     // how often it is looked for renames of directories that a dead process has left unfinished
	recoverSoon    = transfer.Beat   // the same while somebody may be dead
	recoverAtStart = 3 * time.Second // how long the start waits for what is finished at once
)

// recoverRenames finishes such renames, store by store, until stop is called. What fails is tried again at the next round. It returns
// when the first round is over, or after recoverAtStart: what this machine left when it went down should be tidied up when clients come,
// and a large directory should not keep them out.
func recoverRenames(ctx context.Context, stores map[string]backend.Store, engine *transfer.Engine, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var first, all sync.WaitGroup
	for name, store := range stores {
		first.Add(1)
		all.Go(func() {
			once := sync.OnceFunc(first.Done)
			defer once()
			for {
				left, err := vfs.Recover(ctx, store, engine)
				if err != nil && ctx.Err() == nil {
					log.WarnContext(ctx, "unfinished renames were not recovered; it is tried again", logs.Store, name, logs.Error, err)
				}
				once()
				wait := recoverEvery
				if left {
					wait = recoverSoon
				}
				t := time.NewTimer(wait)
				select {
				case <-t.C:
				case <-ctx.Done():
					t.Stop()
					return
				}
			}
		})
	}
	over := make(chan struct{})
	all.Go(func() {
		first.Wait()
		close(over)
	})
	t := time.NewTimer(recoverAtStart)
	defer t.Stop()
	select {
	case <-over:
	case <-t.C:
	case <-ctx.Done():
	}
	return func() {
		cancel()
		all.Wait()
	}
}
