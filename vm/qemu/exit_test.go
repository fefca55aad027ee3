// SPDX-License-Identifier: Apache-2.0

package qemu_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/vm/qemu"
)

func TestExitErrorIsOneLine(t *testing.T) {
	const panicked = "[    2.0165] Kernel panic - not syncing: VFS: Unable to mount root\n[    2.0168] CPU: 0\n[    2.0171] Call Trace:"
	for _, c := range []struct {
		err  qemu.ExitError
		want string
	}{
		{qemu.ExitError{Name: "m", Reason: "QEMU: exit status 1", Stderr: "no such kernel"}, "machine m ended: QEMU: exit status 1; QEMU says: no such kernel"},
		{qemu.ExitError{Name: "m", Reason: "the guest's kernel panicked", Panic: true, Console: panicked},
			"machine m ended: the guest's kernel panicked; its last words: Kernel panic - not syncing: VFS: Unable to mount root"},
		{qemu.ExitError{Name: "m", Reason: "the guest rebooted", Console: "one\n[ 1.5] two\nthree\n[    3.1] reboot: Restarting system\n"},
			"machine m ended: the guest rebooted; its last words: two; three; reboot: Restarting system"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("error %q, want %q", got, c.want)
		}
	}
}
