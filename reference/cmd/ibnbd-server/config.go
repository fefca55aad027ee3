// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/rules"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// plan is what the options mean, before anything is opened.
type plan struct {
	cfg      ibnbd.ServerConfig // without devices, and backends of its exports, until they are opened
	listen   []netip.Addr
	backends []backend.Config // of the exports, in order
}

// plan checks all options that can be checked without opening anything.
func (o *options) plan() (*plan, error) {
	p := &plan{cfg: ibnbd.DefaultServerConfig()}
	if !provider.Known(o.provider) {
		return nil, program.Usagef("--provider %q is none of %s", o.provider, strings.Join(provider.Names(), ", "))
	}
	if err := rules.Break(o.broken, &p.cfg.Rules, &p.cfg.Transport.Rules); err != nil {
		return nil, err
	}
	for _, step := range []func(*plan) error{o.planListen, o.planExports, o.planGeometry, o.planRest, o.planListeners} {
		if err := step(p); err != nil {
			return nil, err
		}
	}
	if err := p.cfg.Validate(); err != nil {
		return nil, &program.UsageError{Err: err}
	}
	return p, nil
}

func (o *options) planListen(p *plan) error {
	if len(o.listen) == 0 {
		return program.Usagef("--listen is missing: no address to listen on")
	}
	port := uint16(0)
	for _, text := range o.listen {
		addr, err := address.ParsePort(text, ibtrs.DefaultPort)
		if err != nil {
			return program.Usagef("--listen %q: %w", text, err)
		}
		if port != 0 && port != addr.Port() {
			return program.Usagef("--listen: ports %d and %d differ, all addresses must have the same", port, addr.Port())
		}
		if slices.Contains(p.listen, addr.Addr()) {
			return program.Usagef("--listen %s is given twice", addr.Addr())
		}
		port = addr.Port()
		p.listen = append(p.listen, addr.Addr())
	}
	p.cfg.Transport.Port = port
	return nil
}

func (o *options) planExports(p *plan) error {
	for _, text := range o.exports {
		name, what, ok := strings.Cut(text, "=")
		if !ok || name == "" || what == "" {
			return program.Usagef("--export %q is not of the form NAME=BACKEND", text)
		}
		spec, err := backend.ParseConfig(what)
		if err != nil {
			return program.Usagef("--export %.64s: %w", name, err)
		}
		p.backends = append(p.backends, spec)
		p.cfg.Exports = append(p.cfg.Exports, ibnbd.Export{Path: exportPath(o.searchPath, name)})
	}
	if len(p.backends) == 0 && !o.hostDevices {
		return program.Usagef("nothing to export: give --export or --host-devices")
	}
	p.cfg.HostDevices = o.hostDevices
	return nil
}

func (o *options) planGeometry(p *plan) error {
	chunk, err1 := backend.ParseSize(o.chunkSize)
	header, err2 := backend.ParseSize(o.maxHeader)
	memory, err3 := backend.ParseSize(o.maxMemory)
	for i, err := range []error{err1, err2, err3} {
		if err != nil {
			return program.Usagef("--%s: %w", [...]string{"chunk-size", "max-header", "max-memory"}[i], err)
		}
	}
	if chunk > 1<<28 || header >= chunk {
		return program.Usagef("--chunk-size %s must be at most 256M, and more than --max-header %s", o.chunkSize, o.maxHeader)
	}
	if o.queueDepth < 1 || o.queueDepth > ibtrs.MaxQueueDepth {
		return program.Usagef("--queue-depth %d must be 1 to %d", o.queueDepth, ibtrs.MaxQueueDepth)
	}
	t := &p.cfg.Transport
	t.Geometry = ibtrs.Geometry{QueueDepth: uint16(o.queueDepth), MaxIOSize: uint32(chunk - header), MaxHeaderSize: uint32(header)}
	t.MaxMemory = memory
	return nil
}

func (o *options) planRest(p *plan) error {
	t := &p.cfg.Transport
	switch o.ioMode {
	case ibnbd.BlockIO.String():
		p.cfg.DefaultIOMode = ibnbd.BlockIO
	case ibnbd.FileIO.String():
		p.cfg.DefaultIOMode = ibnbd.FileIO
	default:
		return program.Usagef("--io-mode %q is none of blockio, fileio", o.ioMode)
	}
	p.cfg.SearchPath, p.cfg.Workers = o.searchPath, o.workers
	t.KeyRefresh, t.LegacyClients = !o.noKeyRefresh, o.legacyClients
	t.MaxSessions, t.MaxHalfOpen, t.MaxConnections = o.maxSessions, o.maxHalfOpen, o.maxConns
	t.Timers.HeartbeatInterval, t.Timers.HeartbeatMisses, t.Timers.HalfOpen = o.heartbeat, o.misses, o.halfOpen
	return nil
}

func (o *options) planListeners(*plan) error {
	if err := control.CheckSocketPath(o.control); err != nil {
		return program.Usagef("--control: %w", err)
	}
	if o.metrics == "" {
		return nil
	}
	if err := control.CheckLocal(o.metrics); err != nil {
		return program.Usagef("--metrics: %w", err)
	}
	return nil
}

// openDevices opens the RDMA devices to listen on.
func (p *plan) openDevices(name string) error {
	for _, addr := range p.listen {
		dev, err := provider.Open(name, addr)
		if err != nil {
			return errors.Join(err, p.closeDevices())
		}
		p.cfg.Transport.Devices = append(p.cfg.Transport.Devices, dev)
	}
	return nil
}

func (p *plan) closeDevices() error { return closeAll(p.cfg.Transport.Devices) }

func closeAll(devices []rdma.Device) error {
	var errs []error
	for _, d := range devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// openExports opens the backends.
func (p *plan) openExports() error {
	for i, spec := range p.backends {
		b, err := spec.Open()
		if err != nil {
			return errors.Join(err, p.closeExports())
		}
		p.cfg.Exports[i].Backend = b
		if err := p.checkWriters(i); err != nil {
			return errors.Join(err, p.closeExports())
		}
	}
	return nil
}

// checkWriters refuses an export that writes what an earlier one writes: writers are counted for each export, so that one storage under
// two names would have two (Clause IBNBD-OPEN-024).
func (p *plan) checkWriters(last int) error {
	for i, other := range p.backends[:last] {
		same, err := p.backends[last].SharesWrites(other)
		if err != nil {
			return err
		}
		if same {
			return program.Usagef("--export: %s and %s are the same storage, and only one of them may be writable: add ,ro to the other",
				p.cfg.Exports[i].Path, p.cfg.Exports[last].Path)
		}
	}
	return nil
}

// exportPath puts an export below the search path, so that clients find it by its name. Where the search path differs
// from session to session, the name is the whole path.
func exportPath(search, name string) string {
	if strings.HasPrefix(name, "/") || strings.Contains(search, "%SESSNAME%") {
		return name
	}
	return strings.TrimSuffix(search, "/") + "/" + name
}

func (p *plan) closeExports() error {
	var errs []error
	for _, e := range p.cfg.Exports {
		if e.Backend != nil {
			errs = append(errs, e.Backend.Close())
		}
	}
	return errors.Join(errs...)
}
