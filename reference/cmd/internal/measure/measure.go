// SPDX-License-Identifier: Apache-2.0

// Package measure measures IOPS, bandwidth and latency of a disk with a number of I/Os in flight.
package measure

import (
	"context"
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
)

// Options are what a person can choose about a measurement.
type Options struct {
	Op    string
	Depth int
	Time  time.Duration
	block string
}

var ops = []string{"read", "write", "randread", "randwrite"}

// AddFlags adds the options to a command.
func (o *Options) AddFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.Op, "op", "randread", strings.Join(ops, ", "))
	f.StringVar(&o.block, "block", "4K", "`SIZE` of one I/O")
	f.IntVar(&o.Depth, "depth", 16, "I/Os in flight")
	f.DurationVar(&o.Time, "time", 5*time.Second, "how long to measure")
}

// Check refuses what makes no sense on any disk.
func (o *Options) Check() error {
	_, err := backend.ParseSize(o.block)
	switch {
	case err != nil:
		return program.Usagef("--block: %w", err)
	case !slices.Contains(ops, o.Op):
		return program.Usagef("--op %q is none of %s", o.Op, strings.Join(ops, ", "))
	case o.Depth < 1 || o.Depth > 4096:
		return program.Usagef("--depth %d must be 1 to 4096", o.Depth)
	case o.Time <= 0:
		return program.Usagef("--time %s must be more than 0", o.Time)
	}
	return nil
}

// Writes tells whether the measurement writes.
func (o *Options) Writes() bool { return strings.HasSuffix(o.Op, "write") }

// Disk is what is measured.
type Disk struct {
	Size         int64 // bytes
	Block, MaxIO int   // bytes
	// New makes one of the I/Os that are in flight. Its submit begins it at an offset, and does not wait for more than a place in a
	// queue; done is called when it has ended, unless submit returns an error.
	New func(data []byte, done func(error)) (submit func(offset int64) error)
}

// run is one measurement.
type run struct {
	size   int64
	random bool
	block  int64

	mu       sync.Mutex // guards the rest
	next     int64      // block, when it goes one after the other
	ended    bool
	err      error
	count    int64
	latency  *hdrhistogram.Histogram // nanoseconds
	inflight sync.WaitGroup
}

// one is one of the I/Os that are in flight.
type one struct {
	run    *run
	submit func(offset int64) error
	start  time.Time
}

// Run measures, until the time is over or ctx ends, and reports.
func (o *Options) Run(ctx context.Context, out io.Writer, d Disk) error {
	block, err := backend.ParseSize(o.block)
	if err != nil {
		return program.Usagef("--block: %w", err)
	}
	if least := int64(d.Block); block%least != 0 {
		return program.Usagef("--block %s must be a multiple of the %d bytes of a block of the device", o.block, least)
	}
	if block > int64(d.MaxIO) || block > d.Size {
		return program.Usagef("--block %s must be at most %d, the most in one request, and the %d bytes of the device", o.block, d.MaxIO, d.Size)
	}
	m := &run{size: d.Size, random: strings.HasPrefix(o.Op, "rand"), block: block}
	took, err := m.measure(ctx, o, d)
	m.report(out, o, took)
	return err
}

func (m *run) measure(ctx context.Context, o *Options, d Disk) (time.Duration, error) {
	m.latency = hdrhistogram.New(1, int64(time.Minute), 3)
	ctx, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	start := time.Now()
	for range o.Depth {
		op := &one{run: m}
		op.submit = d.New(make([]byte, m.block), op.done)
		m.inflight.Add(1)
		op.begin()
	}
	<-ctx.Done()
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	took := time.Since(start)
	m.inflight.Wait()
	return took, m.err
}

// begin sends the I/O to its next place.
func (op *one) begin() {
	m := op.run
	m.mu.Lock()
	blocks := m.size / m.block
	at := m.next % blocks
	m.next++
	if m.random {
		at = rand.Int64N(blocks)
	}
	m.mu.Unlock()
	op.start = time.Now()
	if err := op.submit(at * m.block); err != nil {
		op.done(err)
	}
}

// done counts an I/O and sends the next.
func (op *one) done(err error) {
	m := op.run
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
	op.begin()
}

func (m *run) report(out io.Writer, o *Options, took time.Duration) {
	seconds := took.Seconds()
	fmt.Fprintf(out, "%s of %d bytes, depth %d: %d I/Os in %.2f s = %.0f IOPS, %.1f MB/s\n", o.Op, m.block, o.Depth, m.count,
		seconds, float64(m.count)/seconds, float64(m.count*m.block)/seconds/1e6)
	if m.count == 0 {
		return
	}
	fmt.Fprintf(out, "latency: mean %s\n", time.Duration(m.latency.Mean()).Round(100*time.Nanosecond))
	for _, q := range []float64{1, 50, 90, 99, 99.9, 99.99, 100} {
		fmt.Fprintf(out, "%8.2f %%  %s\n", q, time.Duration(m.latency.ValueAtQuantile(q)).Round(100*time.Nanosecond))
	}
}
