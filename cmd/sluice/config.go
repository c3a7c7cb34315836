package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/internal/certs"
	"sluice/cmd/sluice/internal/config"
)

func configCommand() *cobra.Command {
	var file string
	var probe bool
	check := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file, and with --probe its stores",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return checkConfig(cmd.Context(), cmd.OutOrStdout(), file, probe)
		},
	}
	configFlag(check, &file)
	check.Flags().BoolVar(&probe, "probe", false, "reach every store, and write, copy, read and delete objects named .sluice/probe-... in it")
	return group("config", "Work on the configuration", check)
}

func checkConfig(ctx context.Context, out io.Writer, file string, probe bool) error {
	cfg, err := load(file)
	if err != nil {
		return err
	}
	if _, err := certs.Read(cfg.TLS); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Stores)) {
		if !probe {
			break
		}
		lacks, err := tryStore(ctx, name, cfg.Stores[name])
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "store %s: reached, written, read, deleted\n", name)
		for _, lack := range lacks {
			_, _ = fmt.Fprintf(out, "store %s: %s\n", name, lack)
		}
	}
	_, _ = fmt.Fprintf(out, "%s: ok (%d users, %d stores)\n", file, len(cfg.Users), len(cfg.Stores))
	return nil
}

// tryStore opens a store for as long as it takes to probe it, and returns what it lacks.
func tryStore(ctx context.Context, name string, s config.Store) (lacks []string, err error) {
	store, err := openStore(ctx, name, s, 365*24*time.Hour, nil) // a look at it ends nothing
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeStore(store)) }()
	return probeStore(ctx, name, s, store)
}
