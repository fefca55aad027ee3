// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// nullBlk makes RAM-backed null block devices on a machine: they have any geometry, a write cache and discard. Targets
// on Linux export them. What they cannot do is change their size; that loop devices can.
type nullBlk struct{ host Host }

// What a failing export fails: I/O to the block at BadSector with EIO, and writes to the second zone of so many sectors, while the
// first is written to, with EOVERFLOW.
const (
	BadSector   = 1024
	ZoneSectors = 2048
)

const nullBlkDir = "/sys/kernel/config/nullb"

// Provide makes a device; see [Target].
func (n nullBlk) Provide(ctx context.Context, spec ExportSpec) (Export, error) {
	if spec.Resizable {
		return n.loop().provide(ctx, spec)
	}
	if spec.BlockSize == 0 {
		spec.BlockSize = 512
	}
	if err := n.configure(ctx, spec); err != nil {
		return Export{}, fmt.Errorf("provide export %s: %w", spec.Name, err)
	}
	return Export{ExportSpec: spec, Path: "dev/" + spec.Name, Disk: spec.Name}, nil
}

func (n nullBlk) configure(ctx context.Context, spec ExportSpec) error {
	if err := n.load(ctx); err != nil {
		return err
	}
	dir := path.Join(nullBlkDir, spec.Name)
	if err := n.host.Agent().Mkdir(ctx, dir); err != nil {
		return err
	}
	type setting struct{ file, value string }
	settings := []setting{
		{"size", strconv.Itoa(spec.SizeMiB)},
		{"blocksize", strconv.Itoa(spec.BlockSize)},
		{"memory_backed", "1"},
		{"discard", oneZero(spec.Discard)},
		{"cache_size", strconv.Itoa(cacheMiB(spec))},
	}
	if spec.Latency > 0 {
		settings = append(settings, setting{"irqmode", "2"}, setting{"completion_nsec", strconv.FormatInt(spec.Latency.Nanoseconds(), 10)})
	}
	if spec.Failing {
		settings = append(settings, setting{"zoned", "1"}, setting{"zone_size", strconv.Itoa(ZoneSectors >> 11)}, setting{"zone_max_active", "1"},
			setting{"badblocks", fmt.Sprintf("+%d-%d", BadSector, BadSector+7)})
	}
	settings = append(settings, setting{"power", "1"})
	for _, s := range settings {
		if err := n.host.Agent().WriteFile(ctx, path.Join(dir, s.file), []byte(s.value)); err != nil {
			return errors.Join(err, n.host.Agent().Remove(ctx, dir))
		}
	}
	return nil
}

// load loads the driver without devices of its own, once.
func (n nullBlk) load(ctx context.Context) error {
	there, err := machine.Loaded(ctx, n.host, "null_blk")
	if err != nil || there {
		return err
	}
	return n.host.Agent().LoadModule(ctx, "null_blk", "nr_devices=0")
}

// cacheMiB is the size of the volatile cache: a little more than the disk, so that only a flush empties it. Where two writers
// have to make room at once, null_blk of Linux 6.12 waits for a page that the other has locked, without letting it have the
// processor; a machine with one hangs in null_make_cache_space.
func cacheMiB(spec ExportSpec) int {
	if spec.Cache {
		return spec.SizeMiB + 1
	}
	return 0
}

// Resize changes the size of a device; see [Target].
func (n nullBlk) Resize(ctx context.Context, e Export, sizeMiB int) error {
	if !e.Resizable {
		return fmt.Errorf("resize export %s: it was not provided as resizable", e.Name)
	}
	return n.loop().resize(ctx, e, sizeMiB)
}

func (n nullBlk) loop() loop { return loop(n) }

// Withdraw removes a device and its data.
func (n nullBlk) Withdraw(ctx context.Context, e Export) error {
	if e.Resizable {
		return n.loop().withdraw(ctx, e)
	}
	err := n.host.Agent().Remove(ctx, path.Join(nullBlkDir, e.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw export %s: %w", e.Name, err)
	}
	return nil
}

func oneZero(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
