// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// loop makes block devices of files in a machine's memory, whose size can be changed while they are in use.
type loop struct{ host Host }

// loopDir is where the files are.
const loopDir = "/run/loop"

func (l loop) provide(ctx context.Context, spec ExportSpec) (Export, error) {
	e, err := l.attach(ctx, spec)
	if err != nil {
		return Export{}, fmt.Errorf("provide export %s: %w", spec.Name, err)
	}
	return e, nil
}

func (l loop) attach(ctx context.Context, spec ExportSpec) (Export, error) {
	if spec.Latency != 0 || spec.BlockSize > 512 {
		return Export{}, errors.New("a resizable export has blocks of 512 bytes and no latency")
	}
	there, err := machine.Loaded(ctx, l.host, "loop")
	if err == nil && !there {
		err = l.host.Agent().LoadModule(ctx, "loop")
	}
	if err != nil {
		return Export{}, err
	}
	file := path.Join(loopDir, spec.Name)
	if err := l.run(ctx, "mkdir", "-p", loopDir); err != nil {
		return Export{}, err
	}
	if err := l.run(ctx, "truncate", "-s", megabytes(spec.SizeMiB), file); err != nil {
		return Export{}, err
	}
	free, err := l.host.Agent().Output(ctx, "losetup", "-f")
	if err != nil {
		return Export{}, err
	}
	node := strings.TrimSpace(free)
	return Export{ExportSpec: spec, Path: strings.TrimPrefix(node, "/"), Disk: path.Base(node)}, l.run(ctx, "losetup", node, file)
}

func (l loop) resize(ctx context.Context, e Export, sizeMiB int) error {
	err := l.run(ctx, "truncate", "-s", megabytes(sizeMiB), path.Join(loopDir, e.Name))
	if err == nil {
		err = l.run(ctx, "losetup", "-c", "/"+e.Path)
	}
	if err != nil {
		return fmt.Errorf("resize export %s to %d MiB: %w", e.Name, sizeMiB, err)
	}
	return nil
}

// withdraw takes a device away. One that is still open goes when it is closed.
func (l loop) withdraw(ctx context.Context, e Export) error {
	err := errors.Join(l.run(ctx, "losetup", "-d", "/"+e.Path), l.host.Agent().Remove(ctx, path.Join(loopDir, e.Name)))
	if err != nil {
		return fmt.Errorf("withdraw export %s: %w", e.Name, err)
	}
	return nil
}

func (l loop) run(ctx context.Context, program string, args ...string) error {
	_, err := l.host.Agent().Output(ctx, program, args...)
	return err
}

// megabytes is a size as truncate takes it.
func megabytes(mib int) string { return strconv.Itoa(mib) + "M" }
