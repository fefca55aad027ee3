// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/measure"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

func runBench(ctx context.Context, out, stderr io.Writer, o *sessionOptions, b *measure.Options, path string) (err error) {
	if err := b.Check(); err != nil {
		return err
	}
	if err := checkDevices([]string{path}); err != nil {
		return err
	}
	conn, err := o.connect(ctx, o.newLog(stderr), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if most := int(conn.Session().Geometry().QueueDepth); b.Depth > most {
		return program.Usagef("--depth %d must be at most %d, the queue depth of the session", b.Depth, most)
	}
	kind, access := ibnbd.OpRead, ibnbd.ReadOnly
	if b.Writes() {
		kind, access = ibnbd.OpWrite, ibnbd.ReadWrite
	}
	d, err := conn.Map(ctx, path, access, ibnbd.BlockIO)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Unmap(context.WithoutCancel(ctx), true)) }()
	return b.Run(ctx, out, measure.Disk{Size: d.Size(), Block: d.BlockSize(), MaxIO: d.MaxIO(), New: func(data []byte, done func(error)) func(int64) error {
		op := &ibnbd.IO{Op: kind, Data: data, Done: func(_ *ibnbd.IO, err error) { done(err) }}
		return func(offset int64) error { // it never waits for a permit: there are no more I/Os than permits
			op.Offset = offset
			return d.Submit(context.Background(), op)
		}
	}})
}
