// SPDX-License-Identifier: Apache-2.0

// Package recordings has recorded exchanges of IBTRS and IBNBD, altered as if a broken implementation had taken part, for the
// passive judge. The captures are those of the tests of packages roce and audit; package recording alters them.
package recordings

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	lab "github.com/ibnbd/ibnbd/conformance/ibnbd/judge/testdata"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/testdata/captures"
)

// editor is used in every row of the tables.
type editor = recording.Editor

// Offsets in the payload of a management datagram.
const (
	reqPrivate = recording.ReqPrivate
	repPrivate = recording.RepPrivate
)

// mutation is a row of a table; see recording.Mutation.
type mutation struct {
	Name   string
	Edit   func(*editor)
	Breaks []string
}

// Captures of mainline Linux, and recordings from the lab.
var (
	rnbd = recording.Capture{FS: captures.Files, Files: []string{"rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap"}}

	staticKeys  = recorded("static-keys", "rail0")
	failover    = recorded("failover", "rail0", "rail1")
	comesBack   = recorded("return", "rail0")
	roundRobin  = recorded("round-robin", "rail0", "rail1")
	minInflight = recorded("min-inflight", "rail0", "rail1")
	slowEnd     = recorded("slow-teardown", "rail0", "rail1")
)

// recorded is a recording from the lab.
func recorded(name string, rails ...string) recording.Capture {
	c := recording.Capture{FS: lab.Files}
	for _, rail := range rails {
		c.Files = append(c.Files, name+"-"+rail+".pcapng.gz")
	}
	return c
}

var none = 0

// tables are all of them.
var tables = []recording.Table{
	table("rnbd", rnbd, rnbdMutations...),
	table("rnbd in other ways", rnbd, moreMutations...),
	table("static keys", staticKeys, staticMutations...),
	table("failover", failover, failoverMutations...),
	table("return", comesBack, returnMutations...),
	table("round-robin", roundRobin, turnsMutations...),
	table("slow teardown", slowEnd,
		mutation{"a session without devices keeps its second path", keepSecond, []string{"IBNBD-SYSFS-036 initiator"}}),
	configured(audit.Configuration{Policy: audit.RoundRobin}, table("judged for round-robin", minInflight,
		mutation{"the policy is another", nil, []string{"IBTRS-MP-002"}})),
	configured(audit.Configuration{Policy: audit.MinInflight}, table("judged for min-inflight", roundRobin,
		mutation{"the policy is another", nil, []string{"IBTRS-MP-003"}})),
	configured(audit.Configuration{Policy: audit.MinLatency}, table("judged for min-latency", roundRobin,
		mutation{"the policy is another", nil, []string{"IBTRS-MP-004"}})),
	configured(audit.Configuration{ReconnectDelay: 30 * time.Second}, table("judged for a delay of 30 s", rnbd,
		mutation{"reconnect too early", reconnect(20 * time.Second), []string{"IBTRS-PATH-009"}})),
	configured(audit.Configuration{ReconnectAttempts: &none}, table("judged for no attempts", rnbd,
		mutation{"reconnect all the same", reconnect(40 * time.Second), []string{"IBTRS-PATH-008"}})),
}

func table(name string, c recording.Capture, rows ...mutation) recording.Table {
	t := recording.Table{Name: name, Capture: c, Protocol: judge.Protocol}
	for _, m := range rows {
		t.Mutations = append(t.Mutations, recording.Mutation(m))
	}
	return t
}

// configured tells the judge what it cannot see.
func configured(c audit.Configuration, t recording.Table) recording.Table {
	t.Configuration = c
	return t
}

// keepSecond has the second path of a session without devices live on for longer than the end of the first can take.
func keepSecond(e *editor) {
	e.Delay(e.FindCM(-4, roce.AttrDREQ), 2*time.Minute)
	e.Insert(e.Find(-1, recording.From("10.0.1.2", beat(8))), false, time.Minute, func(*roce.Packet) {})
}

// reconnect has the first path come back some time after the end.
func reconnect(later time.Duration) func(*editor) {
	return func(e *editor) {
		e.ConnectAgain(0, later, func(private, _ []byte) { private[10] = 2 })
	}
}

// Mutants are all of this package.
func Mutants() []mutant.Mutant { return recording.Mutants(tables) }
