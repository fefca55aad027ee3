// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// plan is what the options mean, before anything is opened.
type plan struct {
	cfg    srp.TargetConfig // without devices
	listen serve.Addresses
	units  []unit
	idExt  uint64
	guid   uint64
}

// unit is a logical unit, with its backend once that is open.
type unit struct {
	serial  string
	spec    backend.Config
	backend backend.Backend
}

// plan checks all options that can be checked without opening anything.
func (o *options) plan() (*plan, error) {
	p := &plan{cfg: srp.DefaultTargetConfig()}
	var err error
	if p.listen, err = o.serve.Plan(srp.DefaultTargetPort); err != nil {
		return nil, err
	}
	p.cfg.Listen = p.listen.Port
	for _, step := range []func(*plan) error{o.planPort, o.planUnits, o.planAccess, o.planLimits} {
		if err := step(p); err != nil {
			return nil, err
		}
	}
	if err := p.cfg.Validate(); err != nil {
		return nil, &program.UsageError{Err: err}
	}
	return p, nil
}

func (o *options) planPort(p *plan) error {
	for _, f := range []struct {
		name, text string
		to         *uint64
	}{{"id-ext", o.idExt, &p.idExt}, {"ioc-guid", o.iocGUID, &p.guid}} {
		n, err := strconv.ParseUint(strings.TrimPrefix(f.text, "0x"), 16, 64)
		if err != nil {
			return program.Usagef("--%s %q must be 1 to 16 hexadecimal digits", f.name, f.text)
		}
		*f.to = n
	}
	p.cfg.Port = srp.NewPortID(p.idExt, p.guid, srp.IOClassRev16a)
	return nil
}

func (o *options) planUnits(p *plan) error {
	for _, text := range o.luns {
		serial, what, ok := strings.Cut(text, "=")
		if !ok || serial == "" || what == "" {
			return program.Usagef("--lun %q is not of the form SERIAL=BACKEND", text)
		}
		if slices.ContainsFunc(p.units, func(u unit) bool { return u.serial == serial }) {
			return program.Usagef("--lun %.64s is given twice", serial)
		}
		spec, err := backend.ParseConfig(what)
		if err != nil {
			return program.Usagef("--lun %.64s: %w", serial, err)
		}
		p.units = append(p.units, unit{serial: serial, spec: spec})
	}
	if n := len(p.units); n == 0 || n > scsi.MaxLUN {
		return program.Usagef("--lun is given %d times, must be 1 to %d", n, scsi.MaxLUN)
	}
	return nil
}

// planAccess makes a set of units, that everybody may use or those who are named.
func (o *options) planAccess(p *plan) error {
	luns := scsi.NewLUNs()
	if len(o.allow) == 0 {
		p.cfg.Everybody = luns
		return nil
	}
	p.cfg.Access = map[srp.PortID]*scsi.LUNs{}
	for _, text := range o.allow {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(srp.PortID{}) {
			return program.Usagef("--allow %q must be exactly 32 hexadecimal digits", text)
		}
		p.cfg.Access[srp.PortID(b)] = luns
	}
	return nil
}

func (o *options) planLimits(p *plan) error {
	memory, err := backend.ParseSize(o.channelMemory)
	if err != nil {
		return program.Usagef("--channel-memory: %w", err)
	}
	c := &p.cfg
	c.RequestLimit, c.ChannelMemory, c.Workers, c.NoImmediate = o.requestLimit, int(memory), o.workers, o.noImmediate
	c.MaxChannels, c.MaxNexuses, c.MaxHalfOpen = o.maxChannels, o.maxInitiators, o.maxHalfOpen
	c.Probe, c.Vanished, c.HalfOpen = o.probe, o.vanished, o.halfOpen
	return nil
}

// luns is the one set of units.
func (p *plan) luns() *scsi.LUNs {
	for _, l := range p.cfg.Access {
		return l
	}
	return p.cfg.Everybody
}

// openUnits opens the backends, and makes logical units of them.
func (p *plan) openUnits() error {
	for i := range p.units {
		if err := p.openUnit(i); err != nil {
			return errors.Join(err, p.closeUnits())
		}
	}
	return nil
}

func (p *plan) openUnit(i int) (err error) {
	u := &p.units[i]
	if u.backend, err = u.spec.Open(); err != nil {
		return err
	}
	cfg := scsi.DefaultUnitConfig()
	cfg.Serial = u.serial
	logical, err := scsi.NewUnit(u.backend, cfg)
	if err != nil {
		return err
	}
	return p.luns().Add(uint16(i), logical)
}

func (p *plan) closeUnits() error {
	var errs []error
	for _, u := range p.units {
		if u.backend != nil {
			errs = append(errs, u.backend.Close())
		}
	}
	return errors.Join(errs...)
}
