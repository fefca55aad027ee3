// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestNothingSelectedSaysWhy asks for clauses that a run does not decide.
func TestNothingSelectedSaysWhy(t *testing.T) {
	target := []string{"--target", "ip:127.0.0.9", "--export", "a"}
	initiator := []string{"--role", "initiator", "--source", "127.0.0.9", "--control", "true"}
	const passive = `IBTRS-CONN-004 (decided by the passive judge alone, from the packets of whatever specs are run, or of a capture: 'audit')`
	rules := len(conformance.Catalogue().Select(clauses.Filter{Areas: []string{"SRP-MP"}}))
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"passive judge":                 {[]string{"--clause", "IBTRS-CONN-004"}, "no spec is selected by clause=IBTRS-CONN-004: " + passive},
		"several":                       {[]string{"--clause", "IBTRS-CONN-004,IBTRS-CONN-003"}, "IBTRS-CONN-003 (nobody can decide it: Native addresses"},
		"nobody":                        {[]string{"--clause", "ibtrs-conn-003"}, "IBTRS-CONN-003 (nobody can decide it: Native addresses"},
		"another flag":                  {[]string{"--clause", "IBNBD-SYSFS-001", "--focus", "nosuch"}, "IBNBD-SYSFS-001 (specs of it are left out by other flags)"},
		"another protocol, many":        {[]string{"--area", "SRP-MP", "--protocol", "ibnbd"}, fmt.Sprintf("SRP-MP-001, SRP-MP-002, SRP-MP-003 and %d more (does not apply: does not hold for dialect rnbd)", rules-3)},
		"role of a foreign initiator":   {append(initiator, "--clause", "IBTRS-CONN-001"), "(does not apply: judges the target, the subject is the initiator; specs of it are for the lab)"},
		"lab alone, of an initiator":    {append(initiator, "--clause", "IBNBD-SYSFS-021"), "(no spec of it is for this kind of run; specs of it are for the lab)"},
		"lab alone, of a target":        {append(target, "--clause", "IBNBD-SYSFS-030"), "(no spec of it is for this kind of run; specs of it are for the lab)"},
		"role of a foreign target":      {append(target, "--clause", "IBNBD-SYSFS-001"), "(does not apply: judges the initiator, the subject is the target; specs of it are for the lab)"},
		"passive judge, foreign target": {append(target, "--clause", "IBTRS-CONN-041"), "IBTRS-CONN-041 (decided by the passive judge alone"},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, append([]string{"run", "--dry-run"}, tc.args...)...)
			expectSentence(t, got, verdict.ExitNothingRan, regexp.QuoteMeta(tc.want))
		})
	}
}

// TestDidYouMean has words that are close to those of the catalogue.
func TestDidYouMean(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--clause", "IBTRS-CON-01"}, `--clause "IBTRS-CON-01": the catalogue has no such clause; did you mean IBTRS-CONN-001?`},
		{[]string{"run", "--area", "IBTRS-CONNN"}, `--area "IBTRS-CONNN": the catalogue has no such area; did you mean IBTRS-CONN?`},
		{[]string{"explain", "IBTRS-CON-01"}, `clause "IBTRS-CON-01" is not in the catalogue; did you mean IBTRS-CONN-001?`},
		{[]string{"explain", "IBTRS-CONN-999"}, `clause "IBTRS-CONN-999" is not in the catalogue; area IBTRS-CONN has IBTRS-CONN-001 to`},
		{[]string{"mutants", "--clause", "IBTRS-CON-01"}, "IBTRS-CON-01"},
	} {
		expectSentence(t, command(t, tc.args...), verdict.ExitUsage, regexp.QuoteMeta(tc.want))
	}
}
