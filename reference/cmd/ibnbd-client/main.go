// SPDX-License-Identifier: Apache-2.0

// Command ibnbd-client maps block devices of an IBNBD server and serves them to the system through NBD, or as
// block devices by the kernel's NBD driver.
package main

import (
	"os"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

func main() { os.Exit(program.Main(newCommand(), os.Args[1:], os.Stderr)) }
