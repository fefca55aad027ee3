// SPDX-License-Identifier: Apache-2.0

// Package ibnbd is all that the suite has of IBNBD over IBTRS, and of RNBD over RTRS, which is the same on the wire.
//
//   - Package catalogue has the clauses, and the words for the dialects.
//   - Package subject has the implementations under test: to add one takes a file and a line there.
//   - Package pair is what specs get: the testbed of package kit, with a target and an initiator on it.
//   - Below specs are the specs, in a package for each part of the protocol.
//   - Packages tester and script are the peers that the suite itself plays; attacks and provocations are what they do.
//   - Package foreign judges targets and initiators that somebody else runs.
//   - Below mutants are broken implementations, which the specs have to find.
//   - Package baselines has expected failures.
//
// [Protocol] is what the engine gets of all that.
package ibnbd

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd/baselines"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs" // the specs
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Protocol is IBNBD over IBTRS.
var Protocol = protocol.Protocol{
	Name:            "ibnbd",
	Clauses:         catalogue.Part,
	Layouts:         []layout.Protocol{ibtrs.Layout, ibnbd.Layout},
	Implementations: implementation.FactsOf(subject.Implementations),
	Lab:             &pair.Protocol,
	Foreign:         foreign.Protocol(),
	Judge:           judge.Protocol,
	Mutants:         mutants.Set,
	Baseline:        &protocol.Baseline{File: "conformance/ibnbd/baselines/mainline.yaml", YAML: baselines.Mainline},
}
