// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// powerOff ends the machine. Without ACPI a machine cannot turn itself off; it restarts then, which QEMU with -no-reboot
// takes for the end.
func powerOff(context.Context, struct{}) (any, error) {
	command := unix.LINUX_REBOOT_CMD_POWER_OFF
	if _, err := os.Stat("/sys/firmware/acpi"); err != nil {
		command = unix.LINUX_REBOOT_CMD_RESTART
	}
	unix.Sync()
	return nil, os.NewSyscallError("reboot", unix.Reboot(command))
}
