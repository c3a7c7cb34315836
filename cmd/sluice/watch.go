package main

import (
	"context"
	"maps"
	"time"

	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/logs"
)

// follow reloads the configuration, which began as cfg, at each signal and when its files have changed, until ctx ends. An error
// that stays is told once, or again for a signal.
func follow(ctx context.Context, cfg *config.Config, opts options, reload func() (*config.Config, error)) {
	var look <-chan time.Time
	if opts.Poll > 0 {
		ticker := time.NewTicker(opts.Poll)
		defer ticker.Stop()
		look = ticker.C
	}
	w := watch{running: cfg.Sources}
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-opts.Reload:
			said = ""
		case <-look:
			if !w.due() {
				continue
			}
		}
		next, err := reload()
		w.failed = err != nil
		if err != nil {
			if text := err.Error(); text != said {
				said = text
				opts.Log.ErrorContext(ctx, "the configuration was not reloaded: the old one stays", logs.Error, err)
			}
			continue
		}
		said, w.running = "", next.Sources
		opts.Log.InfoContext(ctx, "the configuration was reloaded", logs.Users, len(next.Users))
		for _, key := range restartOnly(cfg, next) {
			opts.Log.WarnContext(ctx, "a change takes effect at the next start only", logs.Key, key)
		}
	}
}

// watch tells when the files of the configuration call for another reading. It looks at what they hold from time to time instead of
// asking the system for events: those miss the symbolic links that Kubernetes swaps, and file systems of other machines.
type watch struct {
	running config.Sources // of the configuration in use
	last    config.Sources // at the last look
	failed  bool           // the last reading was no good
}

// due looks at the files. They must have been the same at two looks in a row, for who writes several of them, or a long one. After
// a reading that failed it is due again even if they stay: what was missing may be a file that they only name.
func (w *watch) due() bool {
	now := w.running.Now()
	still := maps.Equal(now, w.last)
	w.last = now
	return still && (w.failed || !maps.Equal(now, w.running))
}
