// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// kernelInitiator is a client in the kernel, steered through sysfs as its users do.
type kernelInitiator struct {
	host    Host
	facts   implementation.Facts
	version string
	names   Names
	timers  Timers
	modules []kernelModule // in the order in which they are loaded
}

// kernelModule is a module with its parameters.
type kernelModule struct {
	name       string
	parameters []string
}

// loadedAs is the name of the module when it is loaded.
func (m kernelModule) loadedAs() string { return strings.ReplaceAll(m.name, "-", "_") }

// Info describes the initiator.
func (i *kernelInitiator) Info() Info { return info(i.facts, clauses.Initiator, i.version) }

// Timers are those that the modules are loaded with.
func (i *kernelInitiator) Timers() Timers { return i.timers }

// Start loads the modules.
func (i *kernelInitiator) Start(ctx context.Context) error {
	for _, m := range i.modules {
		if err := i.host.Agent().LoadModule(ctx, m.name, m.parameters...); err != nil {
			return fmt.Errorf("start %s initiator: %w", i.facts.Name, err)
		}
	}
	return nil
}

// Stop unloads the modules, which closes all devices and sessions.
func (i *kernelInitiator) Stop(ctx context.Context) error {
	var names []string
	for _, m := range slices.Backward(i.modules) {
		names = append(names, m.loadedAs())
	}
	if err := machine.Unload(ctx, i.host, names...); err != nil {
		return fmt.Errorf("stop %s initiator: %w", i.facts.Name, err)
	}
	return nil
}

// Map writes the request to map_device and finds the new disk by its link.
func (i *kernelInitiator) Map(ctx context.Context, r MapRequest) (Device, error) {
	if err := i.host.Agent().WriteFile(ctx, i.names.MapDevice(), []byte(r.Line())); err != nil {
		return Device{}, fmt.Errorf("map %q: %w", r.Line(), err)
	}
	link, err := i.link(ctx, r)
	if err != nil {
		return Device{}, err
	}
	d, err := i.device(ctx, link)
	if err != nil {
		return Device{}, fmt.Errorf("map %q: %w: %w", r.Line(), ErrNoDisk, err)
	}
	return d, nil
}

// link is that of a mapped device. Where another session maps the same path, it has the session's name in every dialect.
func (i *kernelInitiator) link(ctx context.Context, r MapRequest) (string, error) {
	link := i.names.ClientLink(r.Device, r.Session)
	if i.names.LinkHasSession {
		return link, nil
	}
	qualified := link + "@" + r.Session
	there, err := i.host.Agent().Exists(ctx, qualified)
	if there {
		link = qualified
	}
	return link, err
}

// device reads what the link of a mapped device points to.
func (i *kernelInitiator) device(ctx context.Context, link string) (Device, error) {
	to, err := i.host.Agent().Readlink(ctx, link)
	if err != nil {
		return Device{}, err
	}
	d := Device{Disk: path.Base(to), Node: "/dev/" + path.Base(to)}
	if d.Session, err = machine.ReadWord(ctx, i.host, i.names.DiskFile(d.Disk, "session")); err != nil {
		return Device{}, err
	}
	d.Export, err = machine.ReadWord(ctx, i.host, i.names.DiskFile(d.Disk, "mapping_path"))
	return d, err
}

// Unmap writes the mode to unmap_device.
func (i *kernelInitiator) Unmap(ctx context.Context, d Device, mode UnmapMode) error {
	if err := i.host.Agent().WriteFile(ctx, i.names.DiskFile(d.Disk, "unmap_device"), []byte(mode)); err != nil {
		return fmt.Errorf("unmap %s (%s): %w", d.Disk, mode, err)
	}
	return nil
}

// Devices lists what is mapped, by the links. A device that is being unmapped meanwhile is left out.
func (i *kernelInitiator) Devices(ctx context.Context) ([]Device, error) {
	links, err := i.host.Agent().Glob(ctx, path.Join(i.names.ClientLinks(), "*"))
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var devices []Device
	for _, link := range links {
		d, err := i.device(ctx, link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// State reads the device's state file.
func (i *kernelInitiator) State(ctx context.Context, d Device) (string, error) {
	return machine.ReadWord(ctx, i.host, i.names.DiskFile(d.Disk, "state"))
}

// Paths lists the paths of a session with their states. A path that is being removed meanwhile is left out.
func (i *kernelInitiator) Paths(ctx context.Context, session string) ([]PathStatus, error) {
	states, err := i.host.Agent().ReadFiles(ctx, i.pathStates(session))
	if err != nil {
		return nil, fmt.Errorf("list paths of session %s: %w", session, err)
	}
	return parsePathStates(states)
}

// Look gives the states of a device and of its session's paths.
func (i *kernelInitiator) Look(ctx context.Context, d Device) (state string, paths []PathStatus, err error) {
	device := i.names.DiskFile(d.Disk, "state")
	states, err := i.host.Agent().ReadFiles(ctx, device, i.pathStates(d.Session))
	if err != nil {
		return "", nil, fmt.Errorf("look at device %s: %w", d.Disk, err)
	}
	if len(states) > 0 && states[0].Path == device {
		state, states = machine.Word(states[0].Bytes), states[1:]
	}
	paths, err = parsePathStates(states)
	return state, paths, err
}

// pathStates is the pattern of the files that tell the states of a session's paths.
func (i *kernelInitiator) pathStates(session string) string {
	return path.Join(i.names.ClientSession(session), "paths", "*", "state")
}

func parsePathStates(states []agent.Content) ([]PathStatus, error) {
	var paths []PathStatus
	for _, state := range states {
		addr, err := parsePathDir(path.Base(path.Dir(state.Path)))
		if err != nil {
			return nil, err
		}
		paths = append(paths, PathStatus{PathAddr: addr, Connected: machine.Word(state.Bytes) == "connected"})
	}
	return paths, nil
}

// parsePathDir takes the name of a path directory, ip:<src>@ip:<dst>, apart.
func parsePathDir(name string) (PathAddr, error) {
	src, dst, ok := strings.Cut(name, "@")
	if !ok {
		return PathAddr{}, fmt.Errorf("path directory %q is not named source@destination", name)
	}
	s, err := netip.ParseAddr(strings.TrimPrefix(src, "ip:"))
	if err != nil {
		return PathAddr{}, fmt.Errorf("path directory %q: source: %w", name, err)
	}
	d, err := netip.ParseAddr(strings.TrimPrefix(dst, "ip:"))
	if err != nil {
		return PathAddr{}, fmt.Errorf("path directory %q: destination: %w", name, err)
	}
	return PathAddr{Source: s, Destination: d}, nil
}

// AddPath adds a path to a session and returns when it is connected or has failed.
func (i *kernelInitiator) AddPath(ctx context.Context, session string, p PathAddr) error {
	return i.host.Agent().WriteFile(ctx, path.Join(i.names.ClientSession(session), "add_path"), []byte(p.String()))
}

// RemovePath closes a path and removes it from its session.
func (i *kernelInitiator) RemovePath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "remove_path")
}

// DisconnectPath closes a path; it stays closed until ReconnectPath.
func (i *kernelInitiator) DisconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "disconnect")
}

// ReconnectPath tries once to connect a path, now.
func (i *kernelInitiator) ReconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "reconnect")
}

func (i *kernelInitiator) command(ctx context.Context, session string, p PathAddr, file string) error {
	return i.host.Agent().WriteFile(ctx, path.Join(i.names.ClientPath(session, p), file), []byte("1"))
}

// SetPolicy selects the multipath policy.
func (i *kernelInitiator) SetPolicy(ctx context.Context, session, policy string) error {
	return i.host.Agent().WriteFile(ctx, path.Join(i.names.ClientSession(session), "mpath_policy"), []byte(policy))
}

// Policy gives the policy as the session shows it.
func (i *kernelInitiator) Policy(ctx context.Context, session string) (string, error) {
	return machine.ReadWord(ctx, i.host, path.Join(i.names.ClientSession(session), "mpath_policy"))
}

// Requests reads how many reads and writes a path has carried from its file stats/rdma.
func (i *kernelInitiator) Requests(ctx context.Context, session string, p PathAddr) (uint64, error) {
	text, err := machine.ReadWord(ctx, i.host, path.Join(i.names.ClientPath(session, p), "stats/rdma"))
	if err != nil {
		return 0, err
	}
	const reads, writes = 0, 2 // places in the file; bytes stand between
	var sum uint64
	for _, place := range []int{reads, writes} {
		words := strings.Fields(text)
		if len(words) <= place {
			return 0, fmt.Errorf("stats/rdma of path %s is %q: fewer than %d numbers", p, text, place+1)
		}
		n, err := strconv.ParseUint(words[place], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stats/rdma of path %s: %w", p, err)
		}
		sum += n
	}
	return sum, nil
}
