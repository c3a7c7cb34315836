package main

import (
	"context"
	"log/slog"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/backend/vfs"
	"sluice/cmd/sluice/internal/logs"
)

// recoverEvery is how often it is looked for renames of directories that a dead process has left unfinished.
const recoverEvery = time.Minute

// recoverRenames finishes such renames at once and from then on every recoverEvery, until ctx ends. What fails is tried again
// at the next round.
func recoverRenames(ctx context.Context, stores map[string]backend.Store, engine *transfer.Engine, log *slog.Logger) {
	tick := time.NewTicker(recoverEvery)
	defer tick.Stop()
	for {
		for name, store := range stores {
			if err := vfs.Recover(ctx, store, engine); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "unfinished renames were not recovered; it is tried again", logs.Store, name, logs.Error, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
