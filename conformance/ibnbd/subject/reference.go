// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Reference is this project's implementation in userspace: programs over verbs, linked statically, that run in any guest.
var Reference = Implementation{
	Facts: reference,
	NewTarget: func(p Environment) Target {
		var listen []netip.Addr
		for _, nic := range p.Host.NICs() {
			listen = append(listen, nic.IPv4.Addr(), nic.IPv6.Addr())
		}
		return NewReferenceTarget(p.Host, Programs{p.Programs, p.Version}, listen)
	},
	NewInitiator: func(p Environment) Initiator { return NewReferenceInitiator(p.Host, Programs{p.Programs, p.Version}) },
}

var reference = implementation.Facts{
	Name:    "reference",
	Dialect: catalogue.IBNBD,
	Own:     true,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: false, clauses.KernelModule: false, clauses.IOMode: true, clauses.FeatureMarker: true,
		clauses.LegacyClients: false, clauses.VersionOne: false, clauses.GIDAddressing: false,
	},
	AsTarget: map[clauses.Ability]bool{clauses.LegacyClients: true, clauses.VersionOne: true},
	Build:    BuildReference,
}

// Programs are the reference's, on this machine.
type Programs struct {
	Dir     string
	Version string
}

// The programs of the reference.
const (
	serverProgram = "ibnbd-server"
	clientProgram = "ibnbd-client"
)

// BuildReference compiles the programs into a directory, which Go's build cache makes quick when nothing has changed. It works
// inside a checkout of the project alone.
func BuildReference(ctx context.Context, dir string) error {
	const commands = "github.com/ibnbd/ibnbd/reference/cmd/"
	build := exec.CommandContext(ctx, "go", "build", "-tags", "verbs,verbs_static", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w", "-o", dir+string(filepath.Separator), commands+serverProgram, commands+clientProgram)
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the reference: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// guestDir is where the programs are in a guest.
const guestDir = "/run/reference"

// install brings a program to a machine, once.
func (p Programs) install(ctx context.Context, h Host, program string) error {
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

// command is a call of a program. Its errors are for [failureOf].
func command(program string, args ...string) agent.Command {
	return agent.Command{Path: path.Join(guestDir, program), Args: append(args, "--json-errors")}
}

// run runs a program of the reference to its end. The error keeps the errno that the program told.
func run(ctx context.Context, h Host, program string, args ...string) ([]byte, error) {
	result, err := h.Agent().Run(ctx, command(program, args...))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	if err := failureOf(result, string(result.Stderr)); err != nil {
		return nil, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return result.Stdout, nil
}

// exitUsage is the exit code of a program that was asked for what makes no sense.
const exitUsage = 2

// failureOf is the error of a program that has ended, with its errno. said is what it wrote to stderr: log lines, and in
// the end an object with the error.
func failureOf(result *agent.Result, said string) error {
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
