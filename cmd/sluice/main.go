// Command sluice is an FTPS server whose disk is an object store.
//
// Each file named after a subcommand holds that subcommand; run.go wires the server together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/internal/config"
)

func main() {
	tuneGC()
	cmd := root()
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		report(cmd.ErrOrStderr(), err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "sluice",
		Short:         "An FTPS server whose disk is an object store",
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // report prints them
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	cmd.AddCommand(serveCommand(), demoCommand(), configCommand(), userCommand(), versionCommand())
	return cmd
}

// report says what went wrong: one line, or one line per problem of a configuration.
func report(w io.Writer, err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		_, _ = fmt.Fprintln(w, problems)
		return
	}
	_, _ = fmt.Fprintf(w, "sluice: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
}

// group returns a command that does nothing but hold others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("%s needs one of its commands; see %s --help", cmd.Name(), cmd.CommandPath())
	}}
	cmd.AddCommand(commands...)
	return cmd
}

// noArgs refuses arguments, commands that do not exist among them.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is not known here; see %s --help", args[0], cmd.CommandPath())
	}
	return nil
}

// configFlag adds the flag that names the configuration file.
func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "sluice.yaml", "configuration `file`")
}

// load reads the configuration file that the flag names.
func load(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; name it with --config", err)
	}
	return cfg, err
}
