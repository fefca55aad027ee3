// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// Programs are the reference's, on this machine.
type Programs struct {
	Dir     string
	Version string
}

// Build compiles programs of the reference into a directory, over verbs and linked statically, which Go's build cache makes quick when
// nothing has changed. It works inside a checkout of the project alone.
func Build(ctx context.Context, dir string, programs ...string) error {
	const commands = "github.com/ibnbd/ibnbd/reference/cmd/"
	args := []string{"build", "-tags", "verbs,verbs_static", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	for _, name := range programs {
		args = append(args, commands+name)
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the reference: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// guestDir is where the programs are in a guest.
const guestDir = "/run/reference"

// Install brings a program to a machine, once.
func (p Programs) Install(ctx context.Context, h Host, program string) error {
	there, err := h.Agent().Exists(ctx, path.Join(guestDir, program))
	if err != nil || there {
		return err
	}
	content, err := os.Open(filepath.Join(p.Dir, program))
	if err != nil {
		return err
	}
	defer content.Close()
	if err := h.Agent().Mkdir(ctx, guestDir); err != nil && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	return h.Agent().CopyIn(ctx, path.Join(guestDir, program), content, 0o755)
}

// Command is a call of a program. Its errors are for [FailureOf].
func Command(program string, args ...string) agent.Command {
	return agent.Command{Path: path.Join(guestDir, program), Args: append(args, "--json-errors")}
}

// Run runs a program of the reference to its end. The error keeps the errno that the program told.
func Run(ctx context.Context, h Host, program string, args ...string) ([]byte, error) {
	result, err := h.Agent().Run(ctx, Command(program, args...))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	if err := FailureOf(result, string(result.Stderr)); err != nil {
		return nil, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return result.Stdout, nil
}

// exitUsage is the exit code of a program that was asked for what makes no sense.
const exitUsage = 2

// FailureOf is the error of a program that has ended, with its errno. said is what it wrote to stderr: log lines, and in
// the end an object with the error.
func FailureOf(result *agent.Result, said string) error {
	if result.Err() == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	var told struct {
		Error string `json:"error"`
		Errno int    `json:"errno"`
	}
	last := lines[len(lines)-1]
	if json.Unmarshal([]byte(last), &told) != nil || told.Error == "" {
		return fmt.Errorf("%w: it last said %q", result.Err(), last)
	}
	switch {
	case told.Errno != 0:
		return fmt.Errorf("%s: %w", told.Error, syscall.Errno(told.Errno))
	case result.ExitCode == exitUsage:
		return fmt.Errorf("%s: %w", told.Error, syscall.EINVAL)
	}
	return errors.New(told.Error)
}

// StartFailure says why a program ended that was to stay.
func StartFailure(process *agent.Process, said string) error {
	result, err := process.Wait()
	if err != nil {
		return err
	}
	if err := FailureOf(result, said); err != nil {
		return err
	}
	return fmt.Errorf("it ended at once: %s", said)
}
