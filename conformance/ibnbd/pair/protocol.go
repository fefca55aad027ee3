// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Protocol is what the kit has to know of IBNBD over IBTRS.
var Protocol = kit.Protocol{
	NewSubjects: New,
	SysfsDirs: []string{
		"/sys/devices/virtual/*nbd-client", "/sys/devices/virtual/*nbd-server", "/sys/devices/virtual/*trs-client",
		"/sys/devices/virtual/*trs-server", "/sys/block/*nbd[0-9]*",
	},
	Judge:         judge.Protocol.JudgeFiles,
	TimedClauses:  []string{"IBTRS-HB-001", "IBTRS-HB-002", "IBTRS-PATH-009"},
	WriteTimeline: judge.Protocol.WriteTimeline,
	Alteration:    lab.AlterationOf,
}
