// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// checkSpecs checks what every spec of a role must have, and that what may end the subject comes last.
func checkSpecs(t *testing.T, role clauses.Role, specs []foreign.Spec) (names map[string]bool) {
	t.Helper()
	catalogue := clauses.MustNew(catalogue.Part)
	names = make(map[string]bool)
	ends := false
	for _, s := range specs {
		if (s.OnTarget != nil) != (role == clauses.Target) || (s.OnInitiator != nil) != (role == clauses.Initiator) {
			t.Errorf("%q does not run on the role, or not on it alone", s.Name)
		}
		if names[s.Name] || s.Name == "" || s.Takes <= 0 || s.Addresses < 1 {
			t.Errorf("%q is not whole, or not the only one of its name: %+v", s.Name, s)
		}
		names[s.Name] = true
		if ends && !s.MayEnd {
			t.Errorf("%q comes after one that may end the subject", s.Name)
		}
		ends = ends || s.MayEnd
		for _, id := range []string{s.Survival, s.KernelLog} {
			if id != "" && !slices.Contains(s.Clauses, id) {
				t.Errorf("%q does not claim %s", s.Name, id)
			}
		}
		for _, id := range s.Clauses {
			if c, known := catalogue.Get(id); !known || !c.Role.Judges(role) || !c.DecidedBy(clauses.Active) {
				t.Errorf("%q claims %s, which active specs do not decide for this role", s.Name, id)
			}
		}
	}
	return names
}

func TestTargetSpecs(t *testing.T) {
	specs := Protocol().Target(foreign.Config{}).Specs()
	names := checkSpecs(t, clauses.Target, specs)
	for _, a := range attacks.All() {
		if !names[a.Spec()] {
			t.Errorf("the attack %q is left out", a.Name)
		}
	}
	for _, s := range specs {
		if slices.Contains(s.Clauses, attacks.SurvivalWarning) != (s.KernelLog == attacks.SurvivalWarning) {
			t.Errorf("%q decides what only a kernel log shows", s.Name)
		}
	}
}

func TestInitiatorSpecs(t *testing.T) {
	specs := Protocol().Initiator(foreign.InitiatorConfig{}).Specs()
	names := checkSpecs(t, clauses.Initiator, specs)
	for _, c := range provocations.All() {
		if !names[c.Spec()] {
			t.Errorf("the provocation %q is left out", c.Name)
		}
	}
	for _, s := range specs {
		if slices.Contains(s.Clauses, provocations.SurvivalWarning) != (s.KernelLog == provocations.SurvivalWarning) {
			t.Errorf("%q decides what only a kernel log shows", s.Name)
		}
	}
}

// missing counts the specs of a subject by why they cannot run.
func missing(t *testing.T, subject foreign.Subject) map[verdict.Reason]int {
	t.Helper()
	n := make(map[verdict.Reason]int)
	for _, s := range subject.Specs() {
		reason, why := subject.Missing(s)
		if (reason == "") != (why == "") {
			t.Errorf("%q: reason %q, %q", s.Name, reason, why)
		}
		n[reason]++
	}
	return n
}

// TestReasons is the verdict on the clause about survival, and on another, for everything that keeps a spec from deciding.
func TestReasons(t *testing.T) {
	claims := finding.Claims{Clauses: []string{attacks.Survival, "IBTRS-CONN-021"}, Survival: attacks.Survival}
	for _, c := range []struct {
		err             error
		survival, other string
	}{
		{tester.ErrForbidden, "SKIP no-consent", "SKIP no-consent"},
		{foreign.ErrNotSupported, "SKIP no-hook", "SKIP no-hook"},
		{attacks.ErrInapplicable, "SKIP ability-missing", "SKIP ability-missing"},
		{provocations.ErrNoNumber, "PASS ", "SKIP no-hook"},
		{provocations.ErrFixed, "PASS ", "SKIP no-tool"},
		{tester.Broken("IBTRS-CONN-021", "wrong"), "SKIP not-reached", "FAIL protocol-violation"},
		{tester.ErrClosed, "FAIL assertion", "INCONCLUSIVE not-ready"},
		{tester.ErrSilent, "FAIL assertion", "INCONCLUSIVE not-ready"},
	} {
		for i, want := range []string{c.survival, c.other} {
			r := finding.Judge(fmt.Errorf("at some point: %w", c.err), claims, false)[i]
			if got := fmt.Sprintf("%s %s", r.Verdict, r.Reason); got != want {
				t.Errorf("%v: %s is %s, want %s", c.err, r.Clause, got, want)
			}
		}
	}
}
