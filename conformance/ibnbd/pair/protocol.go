// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
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
	Judge:         judgeRecordings,
	TimedClauses:  []string{"IBTRS-HB-001", "IBTRS-HB-002", "IBTRS-PATH-009"},
	WriteTimeline: judge.Protocol.WriteTimeline,
	Alteration:    lab.AlterationOf,
}

// judgeRecordings has the passive judge know the heartbeats that the subjects of the running spec are configured with. The other
// settings, which specs change on their way, it is not told.
func judgeRecordings(ctx context.Context, recordings ...string) ([]verdict.Result, error) {
	p := Current()
	c := audit.Configuration{TargetHeartbeats: heartbeatsOf(p.Target.Timers()), InitiatorHeartbeats: heartbeatsOf(p.Initiator.Timers())}
	return judge.Protocol.JudgeConfigured(ctx, c, recordings...)
}

func heartbeatsOf(t subject.Timers) audit.Heartbeats {
	return audit.Heartbeats{Interval: t.HeartbeatInterval, Misses: t.HeartbeatMisses}
}
