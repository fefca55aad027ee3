// SPDX-License-Identifier: Apache-2.0

// Command srp-initiator logs in to SRP targets and serves their disks to the system through NBD, or as block devices by the kernel's
// NBD driver.
package main

import (
	"os"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

func main() { os.Exit(program.Main(newCommand(), os.Args[1:], os.Stderr)) }
