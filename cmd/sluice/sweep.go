package main

import (
	"context"
	"log/slog"
	"time"

	"sluice/backend"
	"sluice/backend/transfer"
	"sluice/cmd/sluice/internal/logs"
)

// sweepEvery is how often it is looked for uploads that nobody has resumed in time.
const sweepEvery = 5 * time.Minute

// sweepUploads ends such uploads at once and from then on every sweepEvery, until ctx ends, even if no user can resume any more. What fails is
// tried again at the next round.
func sweepUploads(ctx context.Context, stores map[string]backend.Store, engine *transfer.Engine, log *slog.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for name, store := range stores {
			if err := engine.Sweep(ctx, store); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "uploads that were cut off could not all be swept; it is tried again", logs.Store, name, logs.Error, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
