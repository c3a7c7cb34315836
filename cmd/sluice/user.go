package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/protocol/auth"
)

func userCommand() *cobra.Command {
	hash := &cobra.Command{
		Use:   "hash",
		Short: "Read a password from standard input and print its hash for the configuration",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), auth.Hash(password))
			return nil
		},
	}
	return group("user", "Work on users", hash)
}

// readPassword reads one line. At a terminal it asks twice, on prompt, and shows nothing of what is typed.
func readPassword(in io.Reader, prompt io.Writer) ([]byte, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := ask(f, prompt, "Password: ")
		if err != nil {
			return nil, err
		}
		second, err := ask(f, prompt, "Again: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(first, second) {
			return nil, errors.New("the two passwords differ: nothing was hashed")
		}
		return first, check(first)
	}
	p, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	p = bytes.TrimSuffix(p, []byte("\n"))
	p = bytes.TrimSuffix(p, []byte("\r"))
	return p, check(p)
}

func ask(f *os.File, prompt io.Writer, question string) ([]byte, error) {
	_, _ = fmt.Fprint(prompt, question)
	p, err := term.ReadPassword(int(f.Fd()))
	_, _ = fmt.Fprintln(prompt)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return p, nil
}

// check refuses passwords that no client could send.
func check(p []byte) error {
	switch {
	case len(p) == 0:
		return errors.New("the password on standard input is empty")
	case len(p) > auth.MaxPassword:
		return fmt.Errorf("the password is longer than %d bytes", auth.MaxPassword)
	case bytes.ContainsAny(p, "\r\n\x00"):
		return errors.New("the password on standard input must be one line")
	}
	return nil
}
