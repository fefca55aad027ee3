// SPDX-License-Identifier: Apache-2.0

// Package program is what the programs have in common: how they end, how they log, and how they document themselves.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/version"
)

// Exit codes.
const (
	ExitOK    = 0
	ExitError = 1 // it was tried, and failed
	ExitUsage = 2 // it was not tried, because what was asked for makes no sense
)

// UsageError is a mistake in what a person has typed.
type UsageError struct{ Err error }

// Error is one sentence about the mistake.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Main runs a command and gives the exit code. SIGINT and SIGTERM end its context. An error is one line on stderr: a
// sentence, or with --json-errors an object with the sentence and the error number behind it.
func Main(root *cobra.Command, args []string, stderr io.Writer) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = version.String()
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &UsageError{err} })
	root.AddCommand(manCommand(root))
	asJSON := false
	root.PersistentFlags().BoolVar(&asJSON, "json-errors", false, "tell errors as a line of JSON, with their error numbers")
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	tell(stderr, root.Name(), err, asJSON)
	if isUsage(err) || !started {
		return ExitUsage
	}
	return ExitError
}

// isUsage tells mistakes in what a person has typed, or has set in the environment.
func isUsage(err error) bool {
	var usage *UsageError
	var socket *control.SocketPathError
	return errors.As(err, &usage) || errors.As(err, &socket)
}

// tell writes an error as one line.
func tell(stderr io.Writer, name string, err error, asJSON bool) {
	if asJSON {
		// Where nobody reads it, nothing can be done.
		_ = json.NewEncoder(stderr).Encode(control.NewFailure(err))
		return
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
}

// manCommand writes manual pages for a program and all its commands.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Short: "Write manual pages into a directory", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Title: root.Name(), Section: "8", Source: "IBNBD"}
			return doc.GenManTree(root, header, args[0])
		},
	}
}

// NewLog makes the log of a program: text on stderr.
func NewLog(stderr io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// RunDir is where sockets of running programs are: what IBNBD_RUN_DIR says, or /run/ibnbd for root, or below
// XDG_RUNTIME_DIR or the directory for temporary files.
func RunDir() string {
	if dir := os.Getenv("IBNBD_RUN_DIR"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/run/ibnbd"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "ibnbd")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("ibnbd-%d", os.Getuid()))
}
