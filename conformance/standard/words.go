// SPDX-License-Identifier: Apache-2.0

package standard

import (
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// RoleWords say whom a clause judges.
var RoleWords = map[clauses.Role]string{
	clauses.Target:    "the target (server)",
	clauses.Initiator: "the initiator (client)",
	clauses.Both:      "target and initiator, each by itself",
	clauses.Wire:      "target and initiator together",
}

// ScopeWords say whom a clause binds.
var ScopeWords = map[clauses.Scope]string{
	clauses.ProtocolScope: "protocol: a rule for every implementation",
	clauses.ProjectScope:  "project: a rule for the implementations of this project, advice for others",
}

var methodWords = map[clauses.Method]string{
	clauses.Active: "by specs that act on the subject",
	clauses.Audit:  "by the passive judge, from a capture",
}

// Decision says who decides a clause.
func Decision(d clauses.Decision) string {
	if len(d.By) == 0 {
		return "by nobody: " + d.Undecidable
	}
	var ways []string
	for _, method := range d.By {
		ways = append(ways, methodWords[method])
	}
	return strings.Join(ways, ", and ")
}
