package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/internal/config"
	"sluice/cmd/sluice/internal/logs"
)

func serveCommand() *cobra.Command {
	var file string
	var grace time.Duration
	level := slog.LevelInfo
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve FTPS",
		Long: `Serve FTPS as the configuration file says.

A change of the file, or of what it includes by ${file:}, is taken up within seconds: users, limits and certificates change at
once, and no session is dropped. A file that is not good changes nothing. SIGHUP reads it again without waiting. SIGTERM and SIGINT end the program: idle sessions first, transfers when they are done or the grace is
over. A second signal ends it at once.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			return serve(ctx, cfg, options{
				Log:    logs.New(cmd.ErrOrStderr(), level),
				Grace:  grace,
				Reload: reload,
				Load:   func() (*config.Config, error) { return load(file) },
				Poll:   2 * time.Second,
			})
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().DurationVar(&grace, "grace", time.Minute, "how long transfers may go on after SIGTERM")
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. The second one then ends the program as if nobody
// listened.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
