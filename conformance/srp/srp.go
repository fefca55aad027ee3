// SPDX-License-Identifier: Apache-2.0

// Package srp is all that the suite has of the SCSI RDMA Protocol.
//
//   - Package catalogue has the clauses.
//   - Package tester is the initiator that the suite itself plays; attacks is what it does.
//   - Package subject has the implementations under test in a lab; package pair is what specs get, and below specs are the specs.
//   - Package script is the target that the suite itself plays; provocations is what it does.
//   - Package foreign judges targets and initiators that somebody else runs.
//   - Package loopback puts the reference's target and initiator where they can be judged.
//   - The passive judge reads captures; below mutants is what must be found broken.
//   - Package baselines has expected failures.
package srp

import (
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/srp/baselines"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/conformance/srp/mutants"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	_ "github.com/ibnbd/ibnbd/conformance/srp/specs" // the specs
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Protocol is SRP.
var Protocol = protocol.Protocol{
	Name:            "srp",
	Clauses:         catalogue.Part,
	Layouts:         []layout.Protocol{srp.Layout},
	Implementations: implementation.FactsOf(subject.Implementations),
	Lab:             &pair.Protocol,
	Foreign:         foreign.Protocol(),
	Judge:           judge.Protocol,
	Mutants:         mutants.Set,
	Baseline:        &protocol.Baseline{File: "conformance/srp/baselines/mainline.yaml", YAML: baselines.Mainline},
}
