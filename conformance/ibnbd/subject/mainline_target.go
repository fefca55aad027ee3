// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// MainlineTarget is mainline Linux's rnbd-server over rtrs-server.
type MainlineTarget struct {
	nullBlk
	release string
	opts    TargetOptions
}

// NewMainlineTarget makes the target on a machine whose kernel has the given release.
func NewMainlineTarget(h Host, release string) *MainlineTarget {
	return &MainlineTarget{nullBlk: nullBlk{h}, release: release, opts: TargetOptions{Keys: KeysRefreshed}}
}

// Info describes the target.
func (t *MainlineTarget) Info() Info {
	i := info(mainline, clauses.Target, t.release)
	i.KeyMode = t.opts.Keys
	return i
}

// Timers are mainline's: none of them can be set.
func (t *MainlineTarget) Timers() Timers { return DefaultTimers }

// Start loads the modules with the options as parameters. Its errors keep the errno of the load.
func (t *MainlineTarget) Start(ctx context.Context, opts TargetOptions) error {
	if opts.LegacyClients {
		return fmt.Errorf("start mainline target for original clients: %w", ErrUnsupported)
	}
	t.opts = opts
	transport := []string{"always_invalidate=" + yesNo(bool(opts.Keys))}
	if opts.QueueDepth != 0 {
		transport = append(transport, "sess_queue_depth="+strconv.Itoa(opts.QueueDepth))
	}
	if err := t.host.Agent().LoadModule(ctx, "rtrs-server", transport...); err != nil {
		return fmt.Errorf("start mainline target: %w", err)
	}
	var block []string
	if opts.SearchPath != "" {
		block = append(block, "dev_search_path="+opts.SearchPath)
	}
	if err := t.host.Agent().LoadModule(ctx, "rnbd-server", block...); err != nil {
		return fmt.Errorf("start mainline target: %w", err)
	}
	return nil
}

// Stop unloads the modules, which ends all sessions.
func (t *MainlineTarget) Stop(ctx context.Context) error {
	if err := unload(ctx, t.host, "rnbd_server", "rtrs_server"); err != nil {
		return fmt.Errorf("stop mainline target: %w", err)
	}
	return nil
}

// Sessions lists the sessions that have a connected path.
func (t *MainlineTarget) Sessions(ctx context.Context) ([]string, error) {
	found, err := t.host.Agent().Glob(ctx, path.Join(virtual, RNBD.TransportServer, "*", "paths"))
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
func (t *MainlineTarget) HasPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	return t.host.Agent().Exists(ctx, RNBD.ServerPath(session, p))
}

// KeepsPath is the same: the directory of a path goes away last.
func (t *MainlineTarget) KeepsPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	return t.HasPath(ctx, session, p)
}

// Disconnect closes a path from the target's side.
func (t *MainlineTarget) Disconnect(ctx context.Context, session string, p PathAddr) error {
	return t.host.Agent().WriteFile(ctx, path.Join(RNBD.ServerPath(session, p), "disconnect"), []byte("1"))
}

func yesNo(b bool) string {
	if b {
		return "Y"
	}
	return "N"
}
