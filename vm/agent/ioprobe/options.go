// SPDX-License-Identifier: Apache-2.0

package ioprobe

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/direct"
)

// Options say what to probe and how.
type Options struct {
	// Device is the path of a block device, or of a file.
	Device string
	// Write writes stamps; false reads.
	Write bool
	// Interval between two I/Os; 0 is 10 ms.
	Interval time.Duration
	// Size of an I/O in bytes, a multiple of 512; 0 is 4096.
	Size int64
	// Offset and Span are the part of the device that is probed, in bytes; I/Os go through it from its start to its end,
	// again and again. Span 0 is all the rest of the device.
	Offset, Span int64
	// Limit is how many I/Os may be outstanding; 0 is 1024. Each of them is a thread.
	Limit int
	// Duration of the run; 0 is until SIGTERM.
	Duration time.Duration
}

// The limits of Options.
const (
	maxSize  = 8 << 20
	maxLimit = 8192
)

// Args are the arguments of agent.GuestProgram for these options.
func (o Options) Args() []string {
	args := []string{"ioprobe"}
	add := func(name, value string) { args = append(args, "-"+name, value) }
	if o.Write {
		args = append(args, "-write")
	}
	if o.Interval != 0 {
		add("interval", o.Interval.String())
	}
	if o.Size != 0 {
		add("size", strconv.FormatInt(o.Size, 10))
	}
	if o.Offset != 0 {
		add("offset", strconv.FormatInt(o.Offset, 10))
	}
	if o.Span != 0 {
		add("span", strconv.FormatInt(o.Span, 10))
	}
	if o.Limit != 0 {
		add("limit", strconv.Itoa(o.Limit))
	}
	if o.Duration != 0 {
		add("duration", o.Duration.String())
	}
	return append(args, o.Device)
}

// parse reads arguments as Args makes them, without the first, and fills in what was left out.
func parse(args []string) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("ioprobe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.Write, "write", false, "write stamps instead of reading")
	flags.DurationVar(&o.Interval, "interval", 10*time.Millisecond, "time between two I/Os")
	flags.Int64Var(&o.Size, "size", direct.Alignment, "bytes of an I/O")
	flags.Int64Var(&o.Offset, "offset", 0, "start of the probed part, in bytes")
	flags.Int64Var(&o.Span, "span", 0, "length of the probed part, in bytes; 0 is the rest of the device")
	flags.IntVar(&o.Limit, "limit", 1024, "outstanding I/Os")
	flags.DurationVar(&o.Duration, "duration", 0, "time to run; 0 is until SIGTERM")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		return o, fmt.Errorf("%d devices given, one expected", flags.NArg())
	}
	o.Device = flags.Arg(0)
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Interval <= 0:
		return fmt.Errorf("interval %v: it must be positive", o.Interval)
	case o.Size <= 0 || o.Size > maxSize || o.Size%sectorSize != 0:
		return fmt.Errorf("size %d: it must be a multiple of %d up to %d", o.Size, sectorSize, maxSize)
	case o.Offset < 0 || o.Offset%sectorSize != 0:
		return fmt.Errorf("offset %d: it must be a multiple of %d", o.Offset, sectorSize)
	case o.Span < 0 || o.Span != 0 && o.Span < o.Size:
		return fmt.Errorf("span %d: it must have room for an I/O of %d bytes", o.Span, o.Size)
	case o.Limit <= 0 || o.Limit > maxLimit:
		return fmt.Errorf("limit %d: it must be from 1 to %d", o.Limit, maxLimit)
	case o.Duration < 0:
		return fmt.Errorf("duration %v: it must not be negative", o.Duration)
	}
	return nil
}
