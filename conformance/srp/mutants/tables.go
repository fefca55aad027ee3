// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/testdata/captures"
)

// server is the target's address in the captures.
const server = "10.0.0.1"

// Captures of mainline Linux.
var (
	login       = recording.Capture{FS: captures.Files, Files: []string{"srp-login-io-logout.pcap"}}
	twoChannels = recording.Capture{FS: captures.Files, Files: []string{"srp-two-channels-indirect.pcap"}}
)

// anotherPort has targets on a port, so that a login request of another type is taken for one of SRP.
var anotherPort = judge.OnPorts(5555)

// tables are all of them.
var tables = []recording.Table{
	table("srp", login, judge.Protocol, srpMutations),
	table("srp in other ways", login, anotherPort, moreMutations),
	table("srp channels", twoChannels, judge.Protocol, channelMutations),
}

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

func table(name string, c recording.Capture, p *audit.Protocol, rows []mutation) recording.Table {
	t := recording.Table{Name: name, Capture: c, Protocol: p}
	for _, m := range rows {
		t.Mutations = append(t.Mutations, recording.Mutation(m))
	}
	return t
}

// Set is what the suite has of mutants of SRP.
func Set() mutant.Set {
	return mutant.Set{InProcess: slices.Concat(targets(), initiators(), recording.Mutants(tables)), Excuses: excuses}
}

// isUnit matches SENDs that begin with a type of information unit.
func isUnit(kind byte) func(p *roce.Packet) bool {
	return func(p *roce.Packet) bool {
		return (p.BTH.OpCode == roce.RCSendOnly || p.BTH.OpCode == roce.RCSendFirst) && len(p.Payload) > 0 && p.Payload[0] == kind
	}
}
