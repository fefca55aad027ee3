// SPDX-License-Identifier: Apache-2.0

// Command ibnbd-server exports block devices, files and memory over IBNBD.
package main

import (
	"os"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

func main() { os.Exit(program.Main(newCommand(), os.Args[1:], os.Stderr)) }
