// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/vm/image"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// EnvironmentError says that this machine, or what a guest found in it, is why there is no lab: no QEMU, too little memory,
// a guest that does not boot. Its text is one sentence that says what, where and what to do.
type EnvironmentError = image.EnvironmentError

// environment makes an error that was met while doing what an EnvironmentError with advice that fits it. Nil stays nil, an
// EnvironmentError and the end of the caller's context stay what they are.
func environment(ctx context.Context, err error, what, console string) error {
	var already *EnvironmentError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already), ctx.Err() != nil:
		return err
	case errors.Is(err, qemu.ErrNotInstalled):
		return &EnvironmentError{What: what, Err: err, Do: "run ci/setup, or install qemu-system-x86"}
	}
	return &EnvironmentError{What: what, Err: err, Do: "read the guest's console in " + console}
}

// checkMemory refuses a lab that this machine has no memory for.
func checkMemory(spec Spec) error {
	const what = "start the lab"
	available, err := availableMemory("/proc/meminfo")
	if err != nil {
		return &EnvironmentError{What: what, Err: err, Do: "mount /proc"}
	}
	if need := len(spec.Hosts) * spec.Memory; need > available {
		return &EnvironmentError{
			What: what,
			Err: fmt.Errorf("%d hosts of %d MiB need %d MiB of memory, and %d MiB are available",
				len(spec.Hosts), spec.Memory, need, available),
			Do: "end other programs, or give the hosts less memory",
		}
	}
	return nil
}

// availableMemory reads how much memory new programs can have, in MiB, from a file like /proc/meminfo.
func availableMemory(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		value, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		if err != nil {
			return 0, fmt.Errorf("%s: MemAvailable: %w", path, err)
		}
		return kib >> 10, nil
	}
	return 0, fmt.Errorf("%s has no line MemAvailable", path)
}
