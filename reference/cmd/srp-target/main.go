// SPDX-License-Identifier: Apache-2.0

// Command srp-target lets initiators use memory, files and block devices over SRP.
package main

import (
	"os"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
)

func main() { os.Exit(program.Main(newCommand(), os.Args[1:], os.Stderr)) }
