// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// ReferenceTarget is the reference's server in userspace, over verbs. It offers the block devices of its machine.
type ReferenceTarget struct {
	nullBlk
	machine.Server
	listen     []netip.Addr
	configured referenceConfiguration
	opts       TargetOptions
}

// NewReferenceTarget makes the target on a machine, which will listen on the given addresses of it. Settings are flags of its
// program, of the form NAME=VALUE.
func NewReferenceTarget(h Host, p machine.Programs, listen []netip.Addr, settings ...string) *ReferenceTarget {
	return &ReferenceTarget{
		nullBlk: nullBlk{h}, Server: machine.Server{Host: h, Programs: p, Program: serverProgram}, listen: listen,
		configured: mustConfigure(clauses.Target, settings), opts: TargetOptions{Keys: KeysRefreshed},
	}
}

// Info describes the target.
func (t *ReferenceTarget) Info() Info {
	i := info(reference, clauses.Target, t.Programs.Version)
	i.KeyMode = t.opts.Keys
	return i
}

// Timers are those that the server is configured with.
func (t *ReferenceTarget) Timers() Timers { return t.configured.timers }

// Start starts the server and waits until it listens.
func (t *ReferenceTarget) Start(ctx context.Context, opts TargetOptions) error {
	t.opts = opts
	if err := t.Serve(ctx, len(t.listen), t.args()...); err != nil {
		return fmt.Errorf("start reference target: %w", err)
	}
	return nil
}

func (t *ReferenceTarget) args() []string {
	args := append([]string{"--provider", "verbs", "--host-devices", "--verbose"}, t.configured.args...)
	for _, addr := range t.listen {
		args = append(args, "--listen", addr.String())
	}
	if t.opts.SearchPath != "" {
		args = append(args, "--search-path", t.opts.SearchPath)
	}
	if t.opts.QueueDepth != 0 {
		args = append(args, "--queue-depth", strconv.Itoa(t.opts.QueueDepth))
	}
	if t.opts.Keys == KeysKept {
		args = append(args, "--no-key-refresh")
	}
	if t.opts.LegacyClients {
		args = append(args, "--legacy-clients")
	}
	return args
}

// Stop ends the server in good order: sessions are told, requests in flight are waited for.
func (t *ReferenceTarget) Stop(ctx context.Context) error {
	if err := t.End(ctx); err != nil {
		return fmt.Errorf("stop reference target: %w", err)
	}
	return nil
}

// serverStatus is what is read of what the server tells of itself.
type serverStatus struct {
	Sessions []struct {
		Name  string
		Paths []struct{ Name, State string }
	}
}

func (t *ReferenceTarget) status(ctx context.Context) (*serverStatus, error) {
	st := &serverStatus{}
	if t.Serving() == nil {
		return st, nil
	}
	text, err := machine.Run(ctx, t.host, serverProgram, "--status", "--json")
	if err != nil {
		return nil, err
	}
	return st, json.Unmarshal(text, st)
}

// Sessions lists the sessions that have a connected path.
func (t *ReferenceTarget) Sessions(ctx context.Context) ([]string, error) {
	st, err := t.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var names []string
	for _, s := range st.Sessions {
		if slices.ContainsFunc(s.Paths, func(p struct{ Name, State string }) bool { return p.State == connected }) {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// connected is the state of a path that carries requests.
const connected = "connected"

// HasPath says whether the server has a path of a session. One that is closing, which may take until the client has
// confirmed that, is not had any more.
func (t *ReferenceTarget) HasPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	states, err := t.pathStates(ctx, session, p)
	return slices.Contains(states, connected), err
}

// KeepsPath says whether the server has a path of a session, in whatever state.
func (t *ReferenceTarget) KeepsPath(ctx context.Context, session string, p PathAddr) (bool, error) {
	states, err := t.pathStates(ctx, session, p)
	return len(states) > 0, err
}

// pathStates are the states of the incarnations of a path that the server has.
func (t *ReferenceTarget) pathStates(ctx context.Context, session string, p PathAddr) (states []string, err error) {
	st, err := t.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for path %s: %w", p, err)
	}
	for _, s := range st.Sessions {
		for _, path := range s.Paths {
			if s.Name == session && path.Name == p.dirName() {
				states = append(states, path.State)
			}
		}
	}
	return states, nil
}

// Disconnect closes a path from the server's side.
func (t *ReferenceTarget) Disconnect(ctx context.Context, session string, p PathAddr) error {
	_, err := machine.Run(ctx, t.host, serverProgram, "disconnect", session, strings.ReplaceAll(p.dirName(), "ip:", ""))
	return err
}
