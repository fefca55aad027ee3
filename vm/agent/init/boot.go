// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// agentCommand is how process 1 starts itself again as the agent.
const agentCommand = "agent"

// environment of the agent, and so of all that hosts run.
var environment = []string{
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LC_ALL=C.UTF-8",
	"TERM=dumb",
}

// boot is process 1: it prepares the file systems, starts the agent and reaps, until the agent ends. Then the machine has
// no more use; its end is how the host learns of it.
func boot() error {
	if err := mountAll(); err != nil {
		return err
	}
	child, err := startAgent()
	if err != nil {
		return err
	}
	status, err := reapUntil(child)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "init: the agent ended: status %#x\n", status)
	unix.Sync()
	return os.NewSyscallError("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

func startAgent() (pid int, err error) {
	cmd := exec.Command(agent.GuestProgram, agentCommand)
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the agent: %w", err)
	}
	return cmd.Process.Pid, nil
}

// reapUntil waits for children, its own and those whose parents died, until the one with this id has ended.
func reapUntil(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		child, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for children: %w", err)
		case child == pid:
			return status, nil
		}
	}
}
