// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// MainlineInitiator is mainline Linux's rnbd-client over rtrs-client, steered through sysfs as its users do.
type MainlineInitiator struct {
	host    Host
	release string
}

// NewMainlineInitiator makes the initiator on a machine whose kernel has the given release.
func NewMainlineInitiator(h Host, release string) *MainlineInitiator {
	return &MainlineInitiator{host: h, release: release}
}

// Info describes the initiator.
func (i *MainlineInitiator) Info() Info {
	return info(mainline, clauses.Initiator, i.release)
}

// Timers are mainline's: none of them can be set. Its random spread before an attempt stays below 8 ms.
func (i *MainlineInitiator) Timers() Timers { return DefaultTimers }

// Start loads the modules.
func (i *MainlineInitiator) Start(ctx context.Context) error {
	for _, name := range []string{"rtrs-client", "rnbd-client"} {
		if err := i.host.Agent().LoadModule(ctx, name); err != nil {
			return fmt.Errorf("start mainline initiator: %w", err)
		}
	}
	return nil
}

// Stop unloads the modules, which closes all devices and sessions.
func (i *MainlineInitiator) Stop(ctx context.Context) error {
	if err := unload(ctx, i.host, "rnbd_client", "rtrs_client"); err != nil {
		return fmt.Errorf("stop mainline initiator: %w", err)
	}
	return nil
}

// Map writes the request to map_device and finds the new disk by its link.
func (i *MainlineInitiator) Map(ctx context.Context, r MapRequest) (Device, error) {
	if err := i.host.Agent().WriteFile(ctx, RNBD.MapDevice(), []byte(r.Line())); err != nil {
		return Device{}, fmt.Errorf("map %q: %w", r.Line(), err)
	}
	d, err := i.device(ctx, RNBD.ClientLink(r.Device, r.Session))
	if err != nil {
		return Device{}, fmt.Errorf("map %q succeeded but its disk was not found: %w", r.Line(), err)
	}
	return d, nil
}

// device reads what the link of a mapped device points to.
func (i *MainlineInitiator) device(ctx context.Context, link string) (Device, error) {
	to, err := i.host.Agent().Readlink(ctx, link)
	if err != nil {
		return Device{}, err
	}
	d := Device{Disk: path.Base(to), Node: "/dev/" + path.Base(to)}
	if d.Session, err = readWord(ctx, i.host, RNBD.DiskFile(d.Disk, "session")); err != nil {
		return Device{}, err
	}
	d.Export, err = readWord(ctx, i.host, RNBD.DiskFile(d.Disk, "mapping_path"))
	return d, err
}

// Unmap writes the mode to unmap_device.
func (i *MainlineInitiator) Unmap(ctx context.Context, d Device, mode UnmapMode) error {
	if err := i.host.Agent().WriteFile(ctx, RNBD.DiskFile(d.Disk, "unmap_device"), []byte(mode)); err != nil {
		return fmt.Errorf("unmap %s (%s): %w", d.Disk, mode, err)
	}
	return nil
}

// Devices lists what is mapped, by the links. A device that is being unmapped meanwhile is left out.
func (i *MainlineInitiator) Devices(ctx context.Context) ([]Device, error) {
	links, err := i.host.Agent().Glob(ctx, path.Join(RNBD.ClientLinks(), "*"))
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
func (i *MainlineInitiator) State(ctx context.Context, d Device) (string, error) {
	return readWord(ctx, i.host, RNBD.DiskFile(d.Disk, "state"))
}

// Paths lists the paths of a session with their states. A path that is being removed meanwhile is left out.
func (i *MainlineInitiator) Paths(ctx context.Context, session string) ([]PathStatus, error) {
	states, err := i.host.Agent().ReadFiles(ctx, pathStates(session))
	if err != nil {
		return nil, fmt.Errorf("list paths of session %s: %w", session, err)
	}
	return parsePathStates(states)
}

// Look gives the states of a device and of its session's paths.
func (i *MainlineInitiator) Look(ctx context.Context, d Device) (state string, paths []PathStatus, err error) {
	device := RNBD.DiskFile(d.Disk, "state")
	states, err := i.host.Agent().ReadFiles(ctx, device, pathStates(d.Session))
	if err != nil {
		return "", nil, fmt.Errorf("look at device %s: %w", d.Disk, err)
	}
	if len(states) > 0 && states[0].Path == device {
		state, states = word(states[0].Bytes), states[1:]
	}
	paths, err = parsePathStates(states)
	return state, paths, err
}

// pathStates is the pattern of the files that tell the states of a session's paths.
func pathStates(session string) string {
	return path.Join(RNBD.ClientSession(session), "paths", "*", "state")
}

func parsePathStates(states []agent.Content) ([]PathStatus, error) {
	var paths []PathStatus
	for _, state := range states {
		addr, err := parsePathDir(path.Base(path.Dir(state.Path)))
		if err != nil {
			return nil, err
		}
		paths = append(paths, PathStatus{PathAddr: addr, Connected: word(state.Bytes) == "connected"})
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
func (i *MainlineInitiator) AddPath(ctx context.Context, session string, p PathAddr) error {
	return i.host.Agent().WriteFile(ctx, path.Join(RNBD.ClientSession(session), "add_path"), []byte(p.String()))
}

// RemovePath closes a path and removes it from its session.
func (i *MainlineInitiator) RemovePath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "remove_path")
}

// DisconnectPath closes a path; it stays closed until ReconnectPath.
func (i *MainlineInitiator) DisconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "disconnect")
}

// ReconnectPath tries once to connect a path, now.
func (i *MainlineInitiator) ReconnectPath(ctx context.Context, session string, p PathAddr) error {
	return i.command(ctx, session, p, "reconnect")
}

func (i *MainlineInitiator) command(ctx context.Context, session string, p PathAddr, file string) error {
	return i.host.Agent().WriteFile(ctx, path.Join(RNBD.ClientPath(session, p), file), []byte("1"))
}

// SetPolicy selects the multipath policy.
func (i *MainlineInitiator) SetPolicy(ctx context.Context, session, policy string) error {
	return i.host.Agent().WriteFile(ctx, path.Join(RNBD.ClientSession(session), "mpath_policy"), []byte(policy))
}

// Policy gives the policy as the session shows it.
func (i *MainlineInitiator) Policy(ctx context.Context, session string) (string, error) {
	return readWord(ctx, i.host, path.Join(RNBD.ClientSession(session), "mpath_policy"))
}

// Requests reads how many reads and writes a path has carried from its file stats/rdma.
func (i *MainlineInitiator) Requests(ctx context.Context, session string, p PathAddr) (uint64, error) {
	text, err := readWord(ctx, i.host, path.Join(RNBD.ClientPath(session, p), "stats/rdma"))
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
