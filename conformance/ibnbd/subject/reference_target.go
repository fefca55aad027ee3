// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// ReferenceTarget is the reference's server in userspace, over verbs. It offers the block devices of its machine.
type ReferenceTarget struct {
	nullBlk
	programs Programs
	listen   []netip.Addr
	opts     TargetOptions
	said     transcript

	client  *agent.Client // of the machine that the server was started on
	process *agent.Process
}

// NewReferenceTarget makes the target on a machine, which will listen on the given addresses of it.
func NewReferenceTarget(h Host, p Programs, listen []netip.Addr) *ReferenceTarget {
	return &ReferenceTarget{nullBlk: nullBlk{h}, programs: p, listen: listen, opts: TargetOptions{Keys: KeysRefreshed}}
}

// Info describes the target.
func (t *ReferenceTarget) Info() Info {
	i := info(reference, clauses.Target, t.programs.Version)
	i.KeyMode = t.opts.Keys
	return i
}

// Timers are the server's defaults.
func (t *ReferenceTarget) Timers() Timers { return ReferenceTimers }

// TakeLog gives what the server has said since it was last asked.
func (t *ReferenceTarget) TakeLog() []byte { return t.said.Take() }

// LogLines is how many lines the server has ever said.
func (t *ReferenceTarget) LogLines() int { return t.said.Lines() }

// Start starts the server and waits until it listens.
func (t *ReferenceTarget) Start(ctx context.Context, opts TargetOptions) error {
	t.opts = opts
	err := t.programs.install(ctx, t.host, serverProgram)
	if err == nil {
		err = t.start(ctx)
	}
	if err != nil {
		return fmt.Errorf("start reference target: %w", err)
	}
	return nil
}

func (t *ReferenceTarget) args() []string {
	args := []string{"--provider", "verbs", "--host-devices", "--verbose"}
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

// start starts the server and reads its log until that says for each address that the server listens.
func (t *ReferenceTarget) start(ctx context.Context) error {
	var early bytes.Buffer // what it says before it serves
	listening := make(chan struct{})
	count := 0
	log := &lines{do: func(line []byte) {
		if count >= len(t.listen) {
			return
		}
		early.Write(append(line, '\n'))
		if bytes.Contains(line, []byte("msg=listening ")) {
			if count++; count == len(t.listen) {
				close(listening)
			}
		}
	}}
	c := command(serverProgram, t.args()...)
	c.Stderr = io.MultiWriter(&t.said, log)
	client := t.host.Agent()
	process, err := client.Start(context.WithoutCancel(ctx), c) // it lives until Stop
	if err != nil {
		return err
	}
	select {
	case <-listening:
		t.client, t.process = client, process
		return nil
	case <-process.Done():
		return startFailure(process, early.String())
	case <-ctx.Done():
		_ = process.Kill() // it is given up either way
		return fmt.Errorf("it does not listen: %w", context.Cause(ctx))
	}
}

// startFailure says why a program ended that was to stay.
func startFailure(process *agent.Process, said string) error {
	result, err := process.Wait()
	if err != nil {
		return err
	}
	if err := failureOf(result, said); err != nil {
		return err
	}
	return fmt.Errorf("it ended at once: %s", said)
}

// Stop ends the server in good order: sessions are told, requests in flight are waited for.
func (t *ReferenceTarget) Stop(ctx context.Context) error {
	process := t.serving()
	t.process = nil
	if process == nil {
		return nil
	}
	if err := end(ctx, process); err != nil {
		return fmt.Errorf("stop reference target: %w", err)
	}
	return nil
}

// end tells a program to end and waits until it has. One that does not end in time is killed.
func end(ctx context.Context, process *agent.Process) error {
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		_ = process.Kill() // that it did not end is the error
		return fmt.Errorf("it does not end: %w", context.Cause(ctx))
	}
	result, err := process.Wait()
	if err != nil {
		return err
	}
	return result.Err()
}

// serving is the server's process; nil if there is none on the machine that the host has now.
func (t *ReferenceTarget) serving() *agent.Process {
	if t.client != t.host.Agent() {
		return nil
	}
	return t.process
}

// Died says how the server ended that should be serving; nil if it serves, or was stopped.
func (t *ReferenceTarget) Died() error {
	process := t.serving()
	if process == nil {
		return nil
	}
	select {
	case <-process.Done():
	default:
		return nil
	}
	result, err := process.Wait()
	if err == nil {
		err = result.Err()
	}
	if err == nil {
		err = errors.New("it was told to end")
	}
	return fmt.Errorf("the server ended by itself: %w", err)
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
	if t.serving() == nil {
		return st, nil
	}
	text, err := run(ctx, t.host, serverProgram, "--status", "--json")
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
	_, err := run(ctx, t.host, serverProgram, "disconnect", session, strings.ReplaceAll(p.dirName(), "ip:", ""))
	return err
}
