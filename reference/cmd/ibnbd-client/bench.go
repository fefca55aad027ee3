// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// benchOptions are what a person can choose about a measurement.
type benchOptions struct {
	op    string
	block string
	depth int
	time  time.Duration
}

var benchOps = []string{"read", "write", "randread", "randwrite"}

func (b *benchOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.op, "op", "randread", strings.Join(benchOps, ", "))
	f.StringVar(&b.block, "block", "4K", "`SIZE` of one I/O")
	f.IntVar(&b.depth, "depth", 16, "I/Os in flight")
	f.DurationVar(&b.time, "time", 5*time.Second, "how long to measure")
}

// bench is one measurement.
type bench struct {
	device *ibnbd.Device
	kind   ibnbd.Op
	random bool
	block  int64
	depth  int

	mu       sync.Mutex // guards the rest
	next     int64      // block, when it goes one after the other
	ended    bool
	err      error
	count    int64
	latency  *hdrhistogram.Histogram // nanoseconds
	inflight sync.WaitGroup
}

// benchIO is one of the I/Os that are in flight.
type benchIO struct {
	ibnbd.IO
	bench *bench
	start time.Time
}

func runBench(ctx context.Context, out, stderr io.Writer, o *sessionOptions, b *benchOptions, path string) (err error) {
	block, err := backend.ParseSize(b.block)
	switch {
	case err != nil:
		return program.Usagef("--block: %w", err)
	case !slices.Contains(benchOps, b.op):
		return program.Usagef("--op %q is none of %s", b.op, strings.Join(benchOps, ", "))
	case b.depth < 1 || b.depth > 4096:
		return program.Usagef("--depth %d must be 1 to 4096", b.depth)
	case b.time <= 0:
		return program.Usagef("--time %s must be more than 0", b.time)
	}
	if err := checkDevices([]string{path}); err != nil {
		return err
	}
	conn, err := o.connect(ctx, o.newLog(stderr), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if most := int(conn.Session().Geometry().QueueDepth); b.depth > most {
		return program.Usagef("--depth %d must be at most %d, the queue depth of the session", b.depth, most)
	}
	m := &bench{kind: ibnbd.OpRead, random: strings.HasPrefix(b.op, "rand"), block: block, depth: b.depth}
	access := ibnbd.ReadOnly
	if strings.HasSuffix(b.op, "write") {
		m.kind, access = ibnbd.OpWrite, ibnbd.ReadWrite
	}
	if m.device, err = conn.Map(ctx, path, access, ibnbd.BlockIO); err != nil {
		return err
	}
	if least := int64(m.device.BlockSize()); block%least != 0 {
		return program.Usagef("--block %s must be a multiple of the %d bytes of a block of the device", b.block, least)
	}
	if block > int64(m.device.MaxIO()) || block > m.device.Size() {
		return program.Usagef("--block %s must be at most %d, the most in one request, and the %d bytes of the device", b.block, m.device.MaxIO(), m.device.Size())
	}
	took, err := m.run(ctx, b.time)
	m.report(out, b.op, took)
	return errors.Join(err, m.device.Unmap(context.WithoutCancel(ctx), true))
}

// run measures for a time, or until ctx ends.
func (m *bench) run(ctx context.Context, wanted time.Duration) (time.Duration, error) {
	m.latency = hdrhistogram.New(1, int64(time.Minute), 3)
	ctx, cancel := context.WithTimeout(ctx, wanted)
	defer cancel()
	start := time.Now()
	for range m.depth {
		op := &benchIO{bench: m}
		op.Op, op.Data, op.Done = m.kind, make([]byte, m.block), func(_ *ibnbd.IO, err error) { op.done(err) }
		m.inflight.Add(1)
		op.submit()
	}
	<-ctx.Done()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	took := time.Since(start)
	m.inflight.Wait()
	return took, m.err
}

// submit sends the I/O to its next place. It never waits for a permit: there are no more I/Os than permits.
func (op *benchIO) submit() {
	m := op.bench
	m.mu.Lock()
	blocks := m.device.Size() / m.block
	at := m.next % blocks
	m.next++
	if m.random {
		at = rand.Int64N(blocks)
	}
	m.mu.Unlock()
	op.Offset, op.start = at*m.block, time.Now()
	if err := m.device.Submit(context.Background(), &op.IO); err != nil {
		op.done(err)
	}
}

// done counts an I/O and sends the next.
func (op *benchIO) done(err error) {
	m := op.bench
	took := time.Since(op.start)
	m.mu.Lock()
	over := m.ended || err != nil
	if err != nil && m.err == nil {
		m.err = err
	}
	if !over {
		m.count++
		if err := m.latency.RecordValue(max(1, min(int64(took), int64(time.Minute)))); err != nil {
			m.err = err
		}
	}
	m.mu.Unlock()
	if over {
		m.inflight.Done()
		return
	}
	op.submit()
}

func (m *bench) report(out io.Writer, name string, took time.Duration) {
	seconds := took.Seconds()
	fmt.Fprintf(out, "%s of %d bytes, depth %d: %d I/Os in %.2f s = %.0f IOPS, %.1f MB/s\n", name, m.block, m.depth, m.count,
		seconds, float64(m.count)/seconds, float64(m.count*m.block)/seconds/1e6)
	if m.count == 0 {
		return
	}
	fmt.Fprintf(out, "latency: mean %s\n", time.Duration(m.latency.Mean()).Round(100*time.Nanosecond))
	for _, q := range []float64{1, 50, 90, 99, 99.9, 99.99, 100} {
		fmt.Fprintf(out, "%8.2f %%  %s\n", q, time.Duration(m.latency.ValueAtQuantile(q)).Round(100*time.Nanosecond))
	}
}
