// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/rules"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// plan is what the options mean, before anything is opened.
type plan struct {
	cfg      ibnbd.ServerConfig // without devices, and backends of its exports, until they are opened
	listen   serve.Addresses
	backends []backend.Config // of the exports, in order
}

// plan checks all options that can be checked without opening anything.
func (o *options) plan() (*plan, error) {
	p := &plan{cfg: ibnbd.DefaultServerConfig()}
	var err error
	if p.listen, err = o.serve.Plan(ibtrs.DefaultPort); err != nil {
		return nil, err
	}
	p.cfg.Transport.Port = p.listen.Port
	if err := rules.Break(o.broken, &p.cfg.Rules, &p.cfg.Transport.Rules); err != nil {
		return nil, err
	}
	for _, step := range []func(*plan) error{o.planExports, o.planGeometry, o.planRest} {
		if err := step(p); err != nil {
			return nil, err
		}
	}
	if err := p.cfg.Validate(); err != nil {
		return nil, &program.UsageError{Err: err}
	}
	return p, nil
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
	t.LastFirst = o.lastFirst
	return nil
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
