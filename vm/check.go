// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

// Check refuses labs, so many side by side, that this machine cannot run: there is no QEMU, or not enough memory. [Start]
// checks for one; whoever starts several asks before, since each of them would count on the same memory.
func Check(spec Config, labs int) error {
	if _, err := exec.LookPath(qemu.DefaultBinary); err != nil {
		return &EnvironmentError{
			What: "start the lab", Err: fmt.Errorf("%w: %w", qemu.ErrNotInstalled, err),
			Do: "run ci/setup, or install qemu-system-x86",
		}
	}
	return checkMemory(spec.withDefaults(), labs)
}

func checkMemory(spec Config, labs int) error {
	what, do := "start the lab", "end other programs, or give the hosts less memory"
	if labs > 1 {
		what, do = fmt.Sprintf("start %d labs", labs), "end other programs, or start fewer labs"
	}
	available, err := availableMemory("/proc/meminfo")
	if err != nil {
		return &EnvironmentError{What: what, Err: err, Do: "mount /proc"}
	}
	hosts := labs * len(spec.Hosts)
	if need := hosts * spec.Memory; need > available {
		return &EnvironmentError{
			What: what,
			Err: fmt.Errorf("%d hosts of %d MiB need %d MiB of memory, and %d MiB are available",
				hosts, spec.Memory, need, available),
			Do: do,
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
