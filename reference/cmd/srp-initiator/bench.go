// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/measure"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func runBench(ctx context.Context, out, stderr io.Writer, o *portOptions, m *measure.Options, login string, lun uint16) (err error) {
	if err := m.Check(); err != nil {
		return err
	}
	cfg, source, err := o.config(login)
	if err != nil {
		return err
	}
	if cfg.Device, err = provider.Open(o.Provider, source); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cfg.Device.Close()) }()
	ic := srp.DefaultInitiatorConfig()
	ic.Log = program.NewLog(stderr, false)
	i := srp.NewInitiator(ic)
	defer func() { err = errors.Join(err, i.Close()) }()
	p, err := i.Add(ctx, cfg)
	if err != nil {
		return err
	}
	for _, d := range p.Disks() {
		if n, ok := d.LUN().Number(); ok && n == lun {
			return m.Run(ctx, out, measured(d, m.Writes()))
		}
	}
	return fmt.Errorf("%s has no disk with number %d", p, lun)
}

// measured is a disk as a measurement wants it.
func measured(d *srp.Disk, writes bool) measure.Disk {
	kind := srp.OpRead
	if writes {
		kind = srp.OpWrite
	}
	return measure.Disk{Size: d.Size(), Block: d.BlockSize(), MaxIO: d.Info().MaxIO, New: func(data []byte, done func(error)) func(int64) error {
		op := &srp.IO{Op: kind, Data: data, Done: func(_ *srp.IO, err error) { done(err) }}
		return func(offset int64) error {
			op.Offset = offset
			return d.Submit(op)
		}
	}}
}
