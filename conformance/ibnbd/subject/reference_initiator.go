// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// ReferenceInitiator is the reference's client in userspace, over verbs: one program for each session. Its devices become
// block devices of the machine through the kernel's NBD driver.
type ReferenceInitiator struct {
	host       Host
	programs   machine.Programs
	configured referenceConfiguration
	said       machine.Transcript

	driver nbdDriver // of its disks

	mu        sync.Mutex    // guards the rest, and the devices of the sessions
	connected int           // block devices that were connected
	client    *agent.Client // of the machine that the sessions run on
	sessions  map[string]*referenceSession
}

// NewReferenceInitiator makes the initiator on a machine. Settings are flags of its program, of the form NAME=VALUE.
func NewReferenceInitiator(h LayeredHost, p machine.Programs, settings ...string) *ReferenceInitiator {
	return &ReferenceInitiator{host: h, programs: p, configured: mustConfigure(clauses.Initiator, settings), driver: nbdDriver{host: h}}
}

// Info describes the initiator.
func (i *ReferenceInitiator) Info() Info {
	return info(reference, clauses.Initiator, i.programs.Version)
}

// Timers are those that the clients are configured with.
func (i *ReferenceInitiator) Timers() Timers { return i.configured.timers }

// TakeLog gives what the client has said since it was last asked.
func (i *ReferenceInitiator) TakeLog() []byte { return i.said.Take() }

// LogLines is how many lines the client has ever said.
func (i *ReferenceInitiator) LogLines() int { return i.said.Lines() }

// Start makes the machine ready for programs and devices.
func (i *ReferenceInitiator) Start(ctx context.Context) error {
	err := i.programs.Install(ctx, i.host, clientProgram)
	if err == nil {
		err = i.driver.load(ctx)
	}
	if err != nil {
		return fmt.Errorf("start reference initiator: %w", err)
	}
	return nil
}

// current are the sessions on the machine that the host has now; those of an earlier one are forgotten. The caller holds
// the lock.
func (i *ReferenceInitiator) current() map[string]*referenceSession {
	if now := i.host.Agent(); i.client != now {
		i.client, i.sessions = now, make(map[string]*referenceSession)
	}
	return i.sessions
}

// session finds a session.
func (i *ReferenceInitiator) session(name string) (*referenceSession, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.current()[name]
	if s == nil {
		return nil, fmt.Errorf("session %s does not exist: %w", name, syscall.ENOENT)
	}
	return s, nil
}

// add notes a device of a session.
func (i *ReferenceInitiator) add(s *referenceSession, d Device) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.devices = append(s.devices, d)
}

// drop forgets a device, and its session if that has no other. It says whether the session has gone.
func (i *ReferenceInitiator) drop(s *referenceSession, d Device) (last bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.devices = slices.DeleteFunc(s.devices, func(other Device) bool { return other == d })
	if len(s.devices) > 0 {
		return false
	}
	delete(i.current(), s.name)
	return true
}

// has says whether a device is one of the session's.
func (i *ReferenceInitiator) has(s *referenceSession, d Device) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(s.devices, d)
}

// Stop unmaps all devices by force and unloads the kernel's driver for them.
func (i *ReferenceInitiator) Stop(ctx context.Context) error {
	devices, err := i.Devices(ctx)
	errs := []error{err}
	for _, d := range devices {
		errs = append(errs, i.Unmap(ctx, d, UnmapForce))
	}
	if err := errors.Join(append(errs, i.driver.unload(ctx))...); err != nil {
		return fmt.Errorf("stop reference initiator: %w", err)
	}
	return nil
}

// Map starts a client, or has the one of the session map another device. Either makes a disk of it.
func (i *ReferenceInitiator) Map(ctx context.Context, r MapRequest) (Device, error) {
	s, err := i.mapExport(ctx, r)
	if err != nil {
		return Device{}, fmt.Errorf("map %q: %w", r.Line(), err)
	}
	d := Device{Session: r.Session, Export: r.Device, Node: s.node(r.Device)}
	if d.Node == "" {
		err := errors.Join(ErrNoDisk, i.giveUp(ctx, s, d, UnmapForce))
		return Device{}, fmt.Errorf("map %q: %w", r.Line(), err)
	}
	d.Disk = path.Base(d.Node)
	i.add(s, d)
	return d, nil
}

func (i *ReferenceInitiator) mapExport(ctx context.Context, r MapRequest) (*referenceSession, error) {
	if s, err := i.session(r.Session); err == nil {
		return s, i.tell(ctx, s, i.mapArgs(r)...)
	}
	s, err := i.startClient(ctx, r)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.current()[r.Session] = s
	return s, nil
}

// ackTimeout is the code of the time after which a queue pair takes a packet for lost, 2.1 s. Guests on a busy machine are
// held up for longer than the usual quarter of a second, and what soft-RoCE sends again for that, it sends together with
// the binds of windows behind it, which then fail and cost the path.
const ackTimeout = 19

// mapArgs are the arguments of the command that maps a device.
func (i *ReferenceInitiator) mapArgs(r MapRequest) []string {
	args := []string{"map", "--disk", "--provider", "verbs", "--verbose", "--ack-timeout", strconv.Itoa(ackTimeout)}
	args = append(args, i.configured.args...)
	for _, p := range r.Paths {
		args = append(args, "--path", pathArg(p))
	}
	if r.Access != "" {
		args = append(args, "--access", r.Access)
	}
	if r.IOMode != "" {
		args = append(args, "--io-mode", r.IOMode)
	}
	return append(args, r.Device)
}

// pathArg is a path as the client's commands take it.
func pathArg(p PathAddr) string {
	if !p.Source.IsValid() {
		return p.Destination.String()
	}
	return p.Source.String() + "@" + p.Destination.String()
}

// tell has the client of a session do something, and waits until the changes that it made have been seen.
func (i *ReferenceInitiator) tell(ctx context.Context, s *referenceSession, args ...string) error {
	text, err := machine.Run(ctx, i.host, clientProgram, append(args, "--json", "--session", s.name)...)
	if err != nil {
		return err
	}
	var st clientStatus
	if err := json.Unmarshal(text, &st); err != nil {
		return fmt.Errorf("answer %q: %w", text, err)
	}
	return s.await(ctx, st.Change)
}

// Unmap has the client take the disk away and give the device back. The client of a session ends with its last device.
func (i *ReferenceInitiator) Unmap(ctx context.Context, d Device, mode UnmapMode) error {
	s, err := i.session(d.Session)
	if err != nil || !i.has(s, d) {
		return fmt.Errorf("unmap %s: it is not mapped: %w", d.Disk, syscall.ENODEV)
	}
	if s.ended() {
		err = i.driver.detach(ctx, d.Disk) // if it has left that behind
	}
	if err := errors.Join(err, i.giveUp(ctx, s, d, mode)); err != nil {
		return fmt.Errorf("unmap %s (%s): %w", d.Disk, mode, err)
	}
	return nil
}

// giveUp has a client unmap a device. A client whose last device that was ends, and is waited for.
func (i *ReferenceInitiator) giveUp(ctx context.Context, s *referenceSession, d Device, mode UnmapMode) error {
	args := []string{"unmap", d.Export}
	if mode == UnmapForce {
		args = append(args, "--force")
	}
	var err error
	if !s.ended() {
		err = i.tell(ctx, s, args...)
	}
	if err != nil {
		if kept, look := i.keeps(ctx, d); look != nil || kept {
			return errors.Join(err, look)
		}
	}
	if i.drop(s, d) {
		err = errors.Join(err, s.awaitEnd(ctx))
	}
	return err
}

// Connect makes a block device of one that a client serves, by a connection of its own to that client.
func (i *ReferenceInitiator) Connect(ctx context.Context, d Device, timeout time.Duration) (Device, error) {
	s, err := i.session(d.Session)
	if err != nil {
		return Device{}, err
	}
	i.mu.Lock()
	i.connected++
	number := nbdDisks - 1 - i.connected%connectedDisks // the client takes the first that is free
	i.mu.Unlock()
	connected := d
	connected.Disk = "nbd" + strconv.Itoa(number)
	connected.Node = "/dev/" + connected.Disk
	return connected, i.driver.attach(ctx, connected.Node, s.now().NBD, d.Export, timeout)
}

// Disconnect takes the block device of a connection away.
func (i *ReferenceInitiator) Disconnect(ctx context.Context, connected Device) error {
	return i.driver.detach(ctx, connected.Disk)
}

// keeps asks the clients whether one of them still has a device.
func (i *ReferenceInitiator) keeps(ctx context.Context, d Device) (bool, error) {
	all, err := i.stat(ctx)
	return slices.ContainsFunc(all, func(st clientStatus) bool {
		return st.Session == d.Session && slices.ContainsFunc(st.Devices, func(other clientDevice) bool { return other.Path == d.Export })
	}), err
}

// Devices lists what is mapped.
func (i *ReferenceInitiator) Devices(context.Context) ([]Device, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var devices []Device
	for _, s := range i.current() {
		devices = append(devices, s.devices...)
	}
	slices.SortFunc(devices, func(a, b Device) int { return strings.Compare(a.Disk, b.Disk) })
	return devices, nil
}

// State gives the state of the device as the client last told it.
func (i *ReferenceInitiator) State(_ context.Context, d Device) (string, error) {
	s, err := i.session(d.Session)
	if err != nil {
		return "", err
	}
	for _, device := range s.now().Devices {
		if device.Path == d.Export {
			return device.State, nil
		}
	}
	return "", fmt.Errorf("device %s is not mapped: %w", d.Export, syscall.ENODEV)
}

// Paths gives the states of the paths as the client last told them.
func (i *ReferenceInitiator) Paths(_ context.Context, session string) ([]PathStatus, error) {
	s, err := i.session(session)
	if err != nil {
		return nil, err
	}
	var paths []PathStatus
	for _, p := range s.now().Paths {
		addr, err := parsePathDir(p.Name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, PathStatus{PathAddr: addr, Connected: p.State == connected})
	}
	return paths, nil
}

// Look gives the states of a device and of its session's paths as the client last told them.
func (i *ReferenceInitiator) Look(ctx context.Context, d Device) (state string, paths []PathStatus, err error) {
	state, err = i.State(ctx, d)
	if errors.Is(err, syscall.ENOENT) { // its session is gone, and it with that
		return "", nil, nil
	}
	if err != nil && !errors.Is(err, syscall.ENODEV) {
		return "", nil, err
	}
	paths, err = i.Paths(ctx, d.Session)
	return state, paths, err
}

// AddPath adds a path to a session and returns when it is connected or has failed.
func (i *ReferenceInitiator) AddPath(ctx context.Context, session string, p PathAddr) error {
	return i.steer(ctx, session, "path", "add", pathArg(p))
}

// RemovePath closes a path and removes it from its session.
func (i *ReferenceInitiator) RemovePath(ctx context.Context, session string, p PathAddr) error {
	return i.steer(ctx, session, "path", "remove", pathArg(p))
}

// DisconnectPath closes a path; it stays closed until ReconnectPath.
func (i *ReferenceInitiator) DisconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.steer(ctx, session, "path", "disconnect", pathArg(p))
}

// ReconnectPath tries once to connect a path, now.
func (i *ReferenceInitiator) ReconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.steer(ctx, session, "path", "reconnect", pathArg(p))
}

// SetPolicy selects the multipath policy.
func (i *ReferenceInitiator) SetPolicy(ctx context.Context, session, policy string) error {
	return i.steer(ctx, session, "policy", policy)
}

func (i *ReferenceInitiator) steer(ctx context.Context, session string, args ...string) error {
	s, err := i.session(session)
	if err != nil {
		return err
	}
	return i.tell(ctx, s, args...)
}

// Policy gives the long name of the policy.
func (i *ReferenceInitiator) Policy(_ context.Context, session string) (string, error) {
	s, err := i.session(session)
	if err != nil {
		return "", err
	}
	return s.now().Policy, nil
}

// Requests asks the clients for their counters.
func (i *ReferenceInitiator) Requests(ctx context.Context, session string, p PathAddr) (uint64, error) {
	all, err := i.stat(ctx)
	if err != nil {
		return 0, err
	}
	for _, st := range all {
		for _, path := range st.Paths {
			if st.Session == session && path.Name == p.dirName() && path.Stats != nil {
				return path.Stats.Reads + path.Stats.Writes, nil
			}
		}
	}
	return 0, fmt.Errorf("counters of path %s of session %s: %w", p, session, syscall.ENOENT)
}

// Promises are the times that the client of a session tells.
func (i *ReferenceInitiator) Promises(ctx context.Context, session string) (Promises, error) {
	all, err := i.stat(ctx)
	if err != nil {
		return Promises{}, err
	}
	for _, st := range all {
		if b := st.Bounds; st.Session == session && b != nil {
			return PromisesOf(*b), nil
		}
	}
	return Promises{}, fmt.Errorf("bounds of session %s: %w", session, syscall.ENOENT)
}

// PromisesOf are the bounds of a session of the reference.
func PromisesOf(b ibtrs.Bounds) Promises {
	return Promises{b.StallWithPath.Limit, b.ErrorWithoutPath.Limit, b.Reconnect.Limit}
}

// stat asks all clients for their state, with counters.
func (i *ReferenceInitiator) stat(ctx context.Context) ([]clientStatus, error) {
	text, err := machine.Run(ctx, i.host, clientProgram, "stat", "--json")
	if err != nil {
		return nil, err
	}
	var all []clientStatus
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("state of the clients: %w", err)
	}
	return all, nil
}
