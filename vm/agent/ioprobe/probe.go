// SPDX-License-Identifier: Apache-2.0

package ioprobe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/direct"
)

// Main runs the prober with the arguments that Options.Args makes, without the first, until it is over or ctx ends.
func Main(ctx context.Context, args []string, out io.Writer) error {
	options, err := parse(args)
	if err != nil {
		return fmt.Errorf("ioprobe: %w", err)
	}
	device, err := openDevice(options)
	if err != nil {
		return fmt.Errorf("ioprobe: %w", err)
	}
	if options.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, options.Duration)
		defer cancel()
	}
	debug.SetMaxThreads(options.Limit + 1000) // the runtime's own limit is 10000
	p := &prober{options: options, device: device, printer: newPrinter(out), transfer: transfer,
		outstanding: map[uint64]Record{}}
	return p.run(ctx)
}

// A device is what is probed. It stays open to the end of the process: I/O may hang in it.
type device struct {
	fd   int
	span int64 // bytes from the probed part's start to its end, a multiple of the I/O size
}

func openDevice(o Options) (device, error) {
	flags := unix.O_RDONLY
	if o.Write {
		flags = unix.O_WRONLY
	}
	fd, err := unix.Open(o.Device, flags|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return device{}, &os.PathError{Op: "open", Path: o.Device, Err: err}
	}
	end, err := unix.Seek(fd, 0, io.SeekEnd)
	if err != nil {
		return device{}, &os.PathError{Op: "seek", Path: o.Device, Err: err}
	}
	span := end - o.Offset
	if o.Span > 0 && o.Span > span {
		return device{}, fmt.Errorf("%s: offset %d and span %d go beyond its end at %d", o.Device, o.Offset, o.Span, end)
	}
	if o.Span != 0 {
		span = o.Span
	}
	if span -= span % o.Size; span <= 0 {
		return device{}, fmt.Errorf("%s: no room for an I/O of %d bytes between offset %d and its end at %d",
			o.Device, o.Size, o.Offset, end)
	}
	return device{fd, span}, nil
}

// transfer reads or writes, again if a signal of the Go runtime came between before anything was done.
func transfer(fd int, r Record, buf []byte) (n int, err error) {
	for {
		if r.Write {
			n, err = unix.Pwrite(fd, buf, r.Offset)
		} else {
			n, err = unix.Pread(fd, buf, r.Offset)
		}
		if err != unix.EINTR {
			return n, err
		}
	}
}

// A prober is one run.
type prober struct {
	options Options
	device  device
	printer *printer
	// transfer makes the system call of an I/O.
	transfer func(fd int, r Record, buf []byte) (int, error)

	mu          sync.Mutex
	outstanding map[uint64]Record
}

func (p *prober) run(ctx context.Context) error {
	p.printer.print(moment(Record{Event: Begin, Offset: p.options.Offset, Size: p.device.span}))
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	for seq := uint64(0); ; seq++ {
		p.tick(seq)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return p.end(seq + 1)
		}
	}
}

// tick issues one I/O, in a thread of its own, so that the next tick comes in time whatever becomes of it.
func (p *prober) tick(seq uint64) {
	o := p.options
	r := Record{Event: IO, Seq: seq, Write: o.Write, Size: o.Size,
		Offset: o.Offset + int64(seq%uint64(p.device.span/o.Size))*o.Size}
	p.mu.Lock()
	defer p.mu.Unlock()
	r = moment(r)
	if len(p.outstanding) >= o.Limit {
		r.Event = Skipped
		p.printer.print(r)
		return
	}
	p.outstanding[seq] = r
	go p.perform(r)
}

func (p *prober) perform(r Record) {
	buf := direct.Buffer(int(r.Size))
	if r.Write {
		Stamp{r.Seq, r.Offset, r.Realtime}.Fill(buf)
	}
	n, err := p.transfer(p.device.fd, r, buf)
	r.Complete = nanoseconds(unix.CLOCK_MONOTONIC)
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		r.Errno = int(errno)
	case int64(n) < r.Size:
		r.Short = int64(n)
	case !r.Write:
		r.Stamp = ParseStamp(buf)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.outstanding[r.Seq]; ok { // else the run is over
		delete(p.outstanding, r.Seq)
		p.printer.print(r)
	}
}

// end tells what is outstanding.
func (p *prober) end(ticks uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(p.outstanding)) {
		r := p.outstanding[seq]
		r.Event = Outstanding
		p.printer.print(r)
	}
	clear(p.outstanding)
	p.printer.print(moment(Record{Event: End, Seq: ticks}))
	return p.printer.close()
}

// moment notes the time.
func moment(r Record) Record {
	r.Realtime = nanoseconds(unix.CLOCK_REALTIME)
	r.Submit = nanoseconds(unix.CLOCK_MONOTONIC)
	return r
}

func nanoseconds(clock int32) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		panic("ioprobe: clock_gettime: " + err.Error()) // only an unknown clock fails
	}
	return now.Nano()
}
