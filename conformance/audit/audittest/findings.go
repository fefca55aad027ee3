// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// EveryClauseHasARule ties rules and catalogue together.
func (j Judge) EveryClauseHasARule(t *testing.T) {
	var rules, wire []string
	for _, rule := range j.Rules {
		rules = append(rules, rule.Clause)
		if len(rule.On) == 0 || rule.Check == nil {
			t.Errorf("rule %s watches nothing", rule.Clause)
		}
	}
	for _, clause := range j.Catalogue().All() {
		if clause.DecidedBy(clauses.Audit) {
			wire = append(wire, clause.ID)
		}
	}
	slices.Sort(rules)
	slices.Sort(wire)
	if diff := cmp.Diff(wire, rules); diff != "" {
		t.Errorf("clauses decided by the wire (-) and rules (+):\n%s", diff)
	}
}

// Findings judges a complete capture. known explains every clause that it breaks: a finding that is not there is a mistake of the
// judge, and one that is there and not found is one as well. The results fit the catalogue.
func (j Judge) Findings(t *testing.T, c Capture, known map[string]string) {
	report := j.Judged(t, c)
	broken := Failures(report)
	for key, message := range broken {
		if _, expected := known[key]; !expected {
			t.Errorf("%s: %s", key, message)
		}
	}
	for key := range known {
		if _, found := broken[key]; !found {
			t.Errorf("%s is not found any more", key)
		}
	}
	for _, f := range report.Findings {
		if f.Verdict == verdict.Inconclusive {
			t.Errorf("%s is inconclusive on a complete capture: %s", Key(f), f.Message)
		}
		if f.Verdict != verdict.Skip && len(f.Frames) == 0 {
			t.Errorf("%s: %s names no frame", Key(f), f.Verdict)
		}
	}
	j.checkResults(t, c, report)
}

func (j Judge) checkResults(t *testing.T, c Capture, report *audit.Report) {
	t.Helper()
	files := make(map[string]string)
	for _, f := range c {
		files[f.Rail] = "evidence/" + f.Rail + ".pcap"
	}
	results := report.Results(files)
	for _, r := range results {
		if err := r.Validate(j.Catalogue()); err != nil {
			t.Error(err)
		}
		for _, e := range r.Evidence {
			if files[audit.RailOf(e.Path)] != e.Path || len(e.Frames) == 0 {
				t.Errorf("%s: evidence %+v", r.Clause, e)
			}
		}
	}
	if len(results) < len(j.Rules) {
		t.Errorf("%d results for %d rules", len(results), len(j.Rules))
	}
}

// EveryRequestIsAnswered counts events of a complete capture: each that asks has one that answers, and some are not there.
func (j Judge) EveryRequestIsAnswered(t *testing.T, c Capture, asks, answers, never []audit.Kind) {
	kinds := make(map[audit.Kind]int)
	report := j.Run(t, c, audit.Configuration{}, func(e *audit.Event) { kinds[e.Kind]++ })
	count := func(of []audit.Kind) (n int) {
		for _, kind := range of {
			n += kinds[kind]
		}
		return n
	}
	if sent, got := count(asks), count(answers); sent != got || sent == 0 {
		t.Errorf("%d requests, %d answers", sent, got)
	}
	for _, kind := range append(never, audit.Gap) {
		if kinds[kind] > 0 {
			t.Errorf("%d events of kind %v", kinds[kind], kind)
		}
	}
	if n := report.Counters; n.Missing+n.UnknownQP+n.Corrupted+n.Foreign > 0 {
		t.Errorf("counters %+v", n)
	}
}

// FuzzTracker takes any frames in any order: two bytes of length, then the frame. Seeds are the first frames of captures. The ICRC
// is not looked at, or nothing would ever come through.
func (j Judge) FuzzTracker(f *testing.F, seeds ...Capture) {
	for _, seed := range seeds {
		var all []byte
		for i, frame := range seed {
			if len(frame.Data) > 400 {
				continue
			}
			if i > 40 || len(all) > 2500 {
				break
			}
			all = binary.BigEndian.AppendUint16(all, uint16(len(frame.Data)))
			all = append(all, frame.Data...)
		}
		f.Add(all)
	}
	protocols := []*audit.Protocol{j.Protocol}
	f.Fuzz(func(t *testing.T, data []byte) {
		judge, err := audit.NewJudge(protocols, audit.Configuration{ReconnectDelay: time.Second, Policy: audit.MinInflight})
		if err != nil {
			t.Fatal(err)
		}
		statistics := audit.NewStatistics()
		tracker := audit.NewTracker(audit.Options{
			Protocols: protocols, SkipICRC: true, MaxConnections: 8, MaxHalfOpen: 4, MaxSessions: 4, MaxHeld: 8,
		})
		tracker.Observe(judge.Observe)
		tracker.Observe(statistics.Observe)
		tracker.Observe(func(e *audit.Event) { _ = e.String() })
		at := time.Unix(1, 0)
		for len(data) > 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			tracker.Frame("rail", at, data[2:2+n], n)
			data, at = data[2+n:], at.Add(time.Millisecond)
		}
		tracker.End()
		judge.Findings()
		statistics.Paths()
		if held := tracker.Held(); held.Established > 8 || held.HalfOpen > 4 {
			t.Errorf("limits are not kept: %+v", held)
		}
	})
}
