// SPDX-License-Identifier: Apache-2.0

// Package recordings breaks recorded exchanges: a capture of implementations that behave is changed as if a broken one had made
// it, with right check sums and sequence numbers, and judged by the passive judge. A [Mutation] says which clauses it
// breaks, all of them and no other.
//
// The captures are those of the tests of packages roce and audit; an editor (editor.go) changes them. The tables stand in a
// file for each capture.
package recordings

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// mutation is one way to break a protocol, and the clauses that it breaks: all of them, and no other.
type mutation struct {
	name   string
	spoil  func(e *editor)
	breaks []string
}

// set is mutations of one capture.
type set struct {
	name   string
	files  files
	audit  audit.Audit
	listed []mutation
}

var (
	rnbd     = captured("rnbd-mainline-rail0.pcap", "rnbd-mainline-rail1.pcap")
	srpLogin = captured("srp-login-io-logout.pcap")
	srpTwo   = captured("srp-two-channels-indirect.pcap")

	staticKeys  = recorded("static-keys", "rail0")
	failover    = recorded("failover", "rail0", "rail1")
	comesBack   = recorded("return", "rail0")
	roundRobin  = recorded("round-robin", "rail0", "rail1")
	minInflight = recorded("min-inflight", "rail0", "rail1")
	slowEnd     = recorded("slow-teardown", "rail0", "rail1")
)

var none = 0

// sets are all of them. What is known of the configuration is what the judge is told; the unchanged capture, which is what
// a mutation is compared with, is judged without that.
var sets = []set{
	{"rnbd", rnbd, audit.Audit{}, rnbdMutations},
	{"rnbd in other ways", rnbd, audit.Audit{}, moreMutations},
	{"static keys", staticKeys, audit.Audit{}, staticMutations},
	{"failover", failover, audit.Audit{}, failoverMutations},
	{"return", comesBack, audit.Audit{}, returnMutations},
	{"round-robin", roundRobin, audit.Audit{}, turnsMutations},
	{"slow teardown", slowEnd, audit.Audit{}, []mutation{
		{"a session without devices keeps its second path", keepSecond, []string{"IBNBD-SYSFS-036 initiator"}},
	}},
	{"judged for round-robin", minInflight, configured(audit.Configuration{Policy: audit.RoundRobin}), []mutation{
		{"the policy is another", asItIs, []string{"IBTRS-MP-002"}},
	}},
	{"judged for min-inflight", roundRobin, configured(audit.Configuration{Policy: audit.MinInflight}), []mutation{
		{"the policy is another", asItIs, []string{"IBTRS-MP-003"}},
	}},
	{"judged for min-latency", roundRobin, configured(audit.Configuration{Policy: audit.MinLatency}), []mutation{
		{"the policy is another", asItIs, []string{"IBTRS-MP-004"}},
	}},
	{"judged for a delay of 30 s", rnbd, configured(audit.Configuration{ReconnectDelay: 30 * time.Second}), []mutation{
		{"reconnect too early", reconnect(20 * time.Second), []string{"IBTRS-PATH-009"}},
	}},
	{"judged for no attempts", rnbd, configured(audit.Configuration{ReconnectAttempts: &none}), []mutation{
		{"reconnect all the same", reconnect(40 * time.Second), []string{"IBTRS-PATH-008"}},
	}},
	{"srp", srpLogin, audit.Audit{}, srpMutations},
	{"srp in other ways", srpLogin, audit.Audit{Tracker: audit.Options{SRPPorts: []uint16{5555}}}, moreSRPMutations},
	{"srp channels", srpTwo, audit.Audit{}, channelMutations},
}

func configured(c audit.Configuration) audit.Audit { return audit.Audit{Configuration: c} }

// keepSecond has the second path of a session without devices live on for longer than the end of the first can take.
func keepSecond(e *editor) {
	e.delay(e.cm(-4, roce.AttrDREQ), 2*time.Minute)
	e.insert(e.find(-1, from("10.0.1.2", beat(8))), false, time.Minute, func(*roce.Packet) {})
}

// asItIs changes nothing: what is wrong is only what the judge was told.
func asItIs(*editor) {}

// reconnect has the first path come back some time after the end.
func reconnect(later time.Duration) func(*editor) {
	return func(e *editor) { e.again(0, later, func(private, _ []byte) { private[10] = 2 }) }
}

// Mutation is one of the mutations of this package.
type Mutation struct {
	Capture string // the set of mutations that it belongs to, for people
	What    string // the deed
	// Breaks are the ids of the clauses that it breaks, with the role behind it where a clause judges both sides.
	Breaks []string

	set      set
	mutation mutation
}

// All are all mutations.
func All() []Mutation {
	var all []Mutation
	for _, s := range sets {
		for _, m := range s.listed {
			all = append(all, Mutation{s.name, m.name, m.breaks, s, m})
		}
	}
	return all
}

// Broken judges the altered capture and gives the clauses that it breaks, as in Breaks, with what was found.
func (m Mutation) Broken(ctx context.Context) (map[string]string, error) {
	frames, err := m.set.files.load()
	if err != nil {
		return nil, err
	}
	if frames, err = edit(frames, m.mutation.spoil); err != nil {
		return nil, fmt.Errorf("alter the capture %q: %w", m.set.name, err)
	}
	return broken(ctx, m.set.audit, frames)
}

// Control does the same with the capture as it is.
func (m Mutation) Control(ctx context.Context) (map[string]string, error) {
	frames, err := m.set.files.load()
	if err != nil {
		return nil, err
	}
	return broken(ctx, audit.Audit{}, frames)
}

// broken lists the clauses that frames break.
func broken(ctx context.Context, a audit.Audit, frames []audit.Frame) (map[string]string, error) {
	report, err := a.Run(ctx, audit.Merge(&replay{frames: frames}))
	if err != nil {
		return nil, err
	}
	return Broken(report), nil
}

// Broken lists the clauses that a report finds broken, by id, with the role behind it where a clause judges both sides.
func Broken(report *audit.Report) map[string]string {
	found := make(map[string]string)
	for _, f := range report.Findings {
		if f.Verdict != verdict.Fail {
			continue
		}
		key := f.Clause.ID
		if f.Clause.Role == clauses.Both {
			key += " " + string(f.Role)
		}
		found[key] = f.Message
	}
	return found
}
