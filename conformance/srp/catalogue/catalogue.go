// SPDX-License-Identifier: Apache-2.0

// Package catalogue has the clauses of the SCSI RDMA Protocol, one file an area.
package catalogue

import (
	"embed"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// SRP is the only dialect.
const SRP clauses.Dialect = "srp"

//go:embed *.yaml
var files embed.FS

// Part is what the protocol contributes to the catalogue of the suite.
var Part = clauses.Part{
	Dialects: []clauses.Dialect{SRP},
	Areas: []string{
		"SRP-LOGIN", "SRP-CH", "SRP-CMD", "SRP-RSP", "SRP-DATA", "SRP-CRED", "SRP-TM", "SRP-LOGOUT",
		"SRP-SYSFS", "SRP-STATE", "SRP-TMO", "SRP-RECON", "SRP-MP", "SRP-TGT", "SRP-ROB",
	},
	Files: files,
}
