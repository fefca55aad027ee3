// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// kernelTarget is a server in the kernel: a transport and a block server, which take options as parameters and show themselves in sysfs.
type kernelTarget struct {
	nullBlk
	facts     implementation.Facts
	version   string
	names     Names
	timers    Timers
	below     []kernelModule // what the servers stand on
	transport kernelModule   // with the parameters that it always gets
	block     kernelModule
	opts      TargetOptions
}

// Info describes the target.
func (t *kernelTarget) Info() Info {
	i := info(t.facts, clauses.Target, t.version)
	i.KeyMode = t.opts.Keys
	return i
}

// Timers are those that the modules are loaded with.
func (t *kernelTarget) Timers() Timers { return t.timers }

// Start loads the modules with the options as parameters. Its errors keep the errno of the load.
func (t *kernelTarget) Start(ctx context.Context, opts TargetOptions) error {
	if opts.LegacyClients && !t.facts.Has(clauses.LegacyClients, clauses.Target) {
		return fmt.Errorf("start %s target for original clients: %w", t.facts.Name, ErrUnsupported)
	}
	t.opts = opts
	for _, m := range t.below {
		if err := t.host.Agent().LoadModule(ctx, m.name, m.parameters...); err != nil {
			return fmt.Errorf("start %s target: %w", t.facts.Name, err)
		}
	}
	transport := append(slices.Clone(t.transport.parameters), "always_invalidate="+yesNo(bool(opts.Keys)))
	if opts.LegacyClients {
		transport = append(transport, "legacy_clients=Y")
	}
	if opts.QueueDepth != 0 {
		transport = append(transport, "sess_queue_depth="+strconv.Itoa(opts.QueueDepth))
	}
	if err := t.host.Agent().LoadModule(ctx, t.transport.name, transport...); err != nil {
		return fmt.Errorf("start %s target: %w", t.facts.Name, err)
	}
	block := slices.Clone(t.block.parameters)
	if opts.SearchPath != "" {
		block = append(block, "dev_search_path="+opts.SearchPath)
	}
	if err := t.host.Agent().LoadModule(ctx, t.block.name, block...); err != nil {
		return fmt.Errorf("start %s target: %w", t.facts.Name, err)
	}
	return nil
}

// Stop unloads the modules, which ends all sessions.
func (t *kernelTarget) Stop(ctx context.Context) error {
	names := []string{t.block.loadedAs(), t.transport.loadedAs()}
	for _, m := range slices.Backward(t.below) {
		names = append(names, m.loadedAs())
	}
	if err := machine.Unload(ctx, t.host, names...); err != nil {
		return fmt.Errorf("stop %s target: %w", t.facts.Name, err)
	}
	return nil
}

// Sessions lists the sessions that have a connected path.
func (t *kernelTarget) Sessions(ctx context.Context) ([]string, error) {
	found, err := t.host.Agent().Glob(ctx, path.Join(virtual, t.names.TransportServer, "*", "paths"))
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = path.Base(path.Dir(p))
	}
	slices.Sort(names)
	return names, nil
}

// HasPath says whether the target has a path of a session.
func (t *kernelTarget) HasPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	return t.host.Agent().Exists(ctx, t.names.ServerPath(session, p))
}

// KeepsPath is the same: the directory of a path goes away last.
func (t *kernelTarget) KeepsPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	return t.HasPath(ctx, session, p)
}

// Disconnect closes a path from the target's side.
func (t *kernelTarget) Disconnect(ctx context.Context, session string, p PathAddr) error {
	return t.host.Agent().WriteFile(ctx, path.Join(t.names.ServerPath(session, p), "disconnect"), []byte("1"))
}

func yesNo(b bool) string {
	if b {
		return "Y"
	}
	return "N"
}
