// SPDX-License-Identifier: Apache-2.0

// Package catalogue has the clauses of IBNBD over IBTRS, one file an area.
//
// The wire is one, the names are two: dialect "ibnbd" uses the seed's names (/dev/ibnbd<N>, ibnbd-client, ibtrs-client), "rnbd"
// mainline's (/dev/rnbd<N>, rnbd-client, rtrs-client). Texts use the seed's names; a reader who judges an rnbd subject reads the
// others in their place.
package catalogue

import (
	"embed"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// The dialects: the names of the seed, and those of mainline.
const (
	IBNBD clauses.Dialect = "ibnbd"
	RNBD  clauses.Dialect = "rnbd"
)

//go:embed *.yaml
var files embed.FS

// Part is what the protocol contributes to the catalogue of the suite: the transport's areas before those of the block layer.
var Part = clauses.Part{
	Dialects: []clauses.Dialect{IBNBD, RNBD},
	Areas: []string{
		"IBTRS-CONN", "IBTRS-INFO", "IBTRS-IMM", "IBTRS-IO", "IBTRS-INV", "IBTRS-HB", "IBTRS-PATH", "IBTRS-MP", "IBTRS-SYSFS",
		"IBNBD-MSG", "IBNBD-OPEN", "IBNBD-IO", "IBNBD-COMPAT", "IBNBD-SYSFS", "IBNBD-FAIL", "IBNBD-LIM",
	},
	Files: files,
}
