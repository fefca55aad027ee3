// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"strings"
)

// Policy chooses among the connected paths of a session, for each request anew.
type Policy uint8

// The policies, with the numbers that sysfs shows. MinInflight is the default (Clause IBTRS-MP-001), but not the zero
// value; a configuration without a policy means it.
const (
	RoundRobin  Policy = 0 // the next path in list order
	MinInflight Policy = 1 // the path with the fewest outstanding requests; the first wins a tie
	MinLatency  Policy = 2 // the path whose last heartbeat came back fastest; one never measured comes first
)

var policyNames = [...]struct{ long, short string }{
	RoundRobin: {"round-robin", "rr"}, MinInflight: {"min-inflight", "mi"}, MinLatency: {"min-latency", "ml"},
}

// Valid reports whether there is such a policy.
func (p Policy) Valid() bool { return int(p) < len(policyNames) }

// String returns the long name.
func (p Policy) String() string {
	if p.Valid() {
		return policyNames[p].long
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// ParsePolicy reads a policy as the file mpath_policy takes it: its number, short name or long name, in any case (Clause
// IBTRS-SYSFS-004). The error is EINVAL to errors.Is.
func ParsePolicy(s string) (Policy, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	for i, n := range policyNames {
		if text == n.short || text == n.long || text == fmt.Sprint(i) {
			return Policy(i), nil
		}
	}
	return MinInflight, fmt.Errorf("multipath policy %q is none of round-robin (rr, 0), min-inflight (mi, 1), min-latency (ml, 2): %w", s, EINVAL)
}

// cost is what a policy other than round-robin compares paths by: the lowest goes first.
func (p Policy) cost(of *Path) int64 {
	if p == MinLatency {
		return of.stats.latency.Load()
	}
	return of.inflight.Load()
}
