// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestTargetSpecs checks what every spec must have.
func TestTargetSpecs(t *testing.T) {
	catalogue := clauses.MustNew(catalogue.Part)
	names := make(map[string]bool)
	for _, s := range TargetSpecs() {
		if s.Name == "" || names[s.Name] || s.OnTarget == nil || s.OnInitiator != nil || s.Takes <= 0 || s.Addresses < 1 {
			t.Errorf("%q is not whole, or not the only one of its name: %+v", s.Name, s)
		}
		names[s.Name] = true
		for _, id := range s.Clauses {
			if c, known := catalogue.Get(id); !known || !c.Role.Judges(clauses.Target) || !c.DecidedBy(clauses.Active) {
				t.Errorf("%q claims %s, which active specs do not decide for a target", s.Name, id)
			}
		}
	}
	for _, a := range attacks.All() {
		if !names[a.Spec()] {
			t.Errorf("the attack %q is left out", a.Name)
		}
	}
}

// TestReference judges the reference's target, of which only address and identifiers are known, by all specs that wait for no timer.
// The passive judge reads along.
func TestReference(t *testing.T) {
	l, err := loopback.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	subject := Protocol().Target(l.Config)
	r, err := subject.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if s := r.Subject(); !s.Abilities[clauses.ImmediateData] || !s.Abilities[clauses.MultiChannel] {
		t.Errorf("abilities %v", s.Abilities)
	}
	dir := t.TempDir()
	decided := make(map[string]bool)
	for i, s := range subject.Specs() {
		if reason, _ := subject.Missing(s); reason != "" && reason != verdict.NoHook {
			t.Errorf("%q cannot run: %s", s.Name, reason)
		}
		if s.Needs != "" || s.Takes >= longestHalfOpen {
			continue
		}
		results, passive, err := r.RunSpec(t.Context(), s, foreign.Report{Dir: dir, Evidence: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range slices.Concat(results, passive) {
			decided[v.Clause] = true
			if v.Verdict != verdict.Pass {
				t.Errorf("%q: %s %s %s: %s", v.Spec, v.Clause, v.Verdict, v.Reason, v.Message)
			}
		}
	}
	for _, id := range []string{attacks.Survival, attacks.Undisturbed, "SRP-DATA-001", "SRP-TM-006"} { // the last two by the passive judge
		if !decided[id] {
			t.Errorf("%s was not judged", id)
		}
	}
}

func TestLimit(t *testing.T) {
	one, both := []string{"0"}, []string{"0", "1"}
	writes := foreign.Consent{Writes: true, Scratch: foreign.Range{First: 100, Count: 64}}
	if diff := cmp.Diff(&tester.Limit{Writes: true, First: 100, Count: 64}, limit(writes, both)); diff != "" {
		t.Error(diff)
	}
	if l := limit(foreign.Consent{Loss: both}, both); l != nil {
		t.Errorf("where all may be lost, there is a limit: %v", l)
	}
	if l := limit(foreign.Consent{Loss: one}, both); l == nil || l.Writes {
		t.Errorf("where one of two may be lost, the limit is %v", l)
	}
}

// TestWithoutConsent: nothing is written to a target whose owner has not allowed it, or beside the scratch range.
func TestWithoutConsent(t *testing.T) {
	for _, c := range []struct {
		name    string
		consent foreign.Consent
		writes  string // verdict of a spec that writes
	}{
		{"nothing", foreign.Consent{}, "SKIP no-consent"},
		{"a scratch range", foreign.Consent{Writes: true, Scratch: foreign.Range{First: 4096, Count: tester.ScratchSectors}}, "PASS "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var disks []*watched
			l, err := loopback.Start(func(s *loopback.Settings) {
				for i, d := range s.Disks {
					disks = append(disks, &watched{Backend: d, first: int64(c.consent.Scratch.First) * 512, end: int64(c.consent.Scratch.First+c.consent.Scratch.Count) * 512})
					s.Disks[i] = disks[i]
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			l.Config.Consent = c.consent
			subject := Protocol().Target(l.Config)
			r, err := subject.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i, s := range subject.Specs() {
				if s.Takes >= longestHalfOpen || s.Takes > quick && s.Does == foreign.Reads {
					continue
				}
				results, _, err := r.RunSpec(t.Context(), s, foreign.Report{Dir: t.TempDir(), Evidence: fmt.Sprint(i)})
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range results {
					got := fmt.Sprintf("%s %s", v.Verdict, v.Reason)
					if s.Needs == "" && s.Does == foreign.Writes && got != c.writes || v.Verdict == verdict.Fail {
						t.Errorf("%q: %s %s: %s", s.Name, v.Clause, got, v.Message)
					}
				}
			}
			for _, d := range disks {
				if d.outside.Load() {
					t.Error("something was written that must not be")
				}
			}
		})
	}
}
