// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Protocol is what the kit has to know of IBNBD over IBTRS.
var Protocol = kit.Protocol{
	NewSubjects: New,
	SysfsDirs: []string{
		"/sys/devices/virtual/*nbd-client", "/sys/devices/virtual/*nbd-server", "/sys/devices/virtual/*trs-client",
		"/sys/devices/virtual/*trs-server", "/sys/block/*nbd[0-9]*",
	},
	Judge:         judge,
	TimedClauses:  []string{"IBTRS-HB-001", "IBTRS-HB-002", "IBTRS-PATH-009"},
	WriteTimeline: audit.WriteTimeline,
	Alteration:    lab.AlterationOf,
}

// judge has the passive judge read recordings, of which nothing is known but what they show.
func judge(ctx context.Context, recordings ...string) ([]verdict.Result, error) {
	return audit.JudgeFiles(ctx, audit.Configuration{}, recordings...)
}
