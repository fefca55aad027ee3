// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Baseline is a list of failures that are known and expected. Its file is YAML:
//
//	expected:
//	  - clause: IBNBD-SYSFS-018
//	    subject: mainline-*        # pattern over the name of a subject, as in path.Match
//	    role: initiator            # optional
//	    spec: devices has a link   # optional: this spec only
//	    race: true                 # optional: whether it fails depends on a race inside the subject
//	    owner: who answers for this entry
//	    reason: why it fails
//	    expires: 2030-06-30        # the last day on which the entry holds
//	    packets: |                 # optional: the lines of a timeline that show it
type Baseline struct {
	Expected []ExpectedFailure `yaml:"expected"`
}

// ExpectedFailure is one entry of a baseline.
type ExpectedFailure struct {
	Clause  string       `yaml:"clause" json:"clause"`
	Spec    string       `yaml:"spec,omitempty" json:"spec,omitempty"`
	Race    bool         `yaml:"race,omitempty" json:"race,omitempty"`
	Subject string       `yaml:"subject" json:"subject"`
	Role    clauses.Role `yaml:"role,omitempty" json:"role,omitempty"`
	Owner   string       `yaml:"owner" json:"owner"`
	Reason  string       `yaml:"reason" json:"reason"`
	Expires Day          `yaml:"expires" json:"expires"`
	Packets string       `yaml:"packets,omitempty" json:"packets,omitempty"`
}

// Day is a calendar day written as 2006-01-02.
type Day string

// Before says whether the whole day lies before t, in UTC.
func (d Day) Before(t time.Time) bool {
	day, err := time.Parse(time.DateOnly, string(d))
	return err == nil && !t.UTC().Before(day.AddDate(0, 0, 1))
}

// LoadBaseline reads a baseline from a file. The error names the file, the entry and the field; it is about usage.
func LoadBaseline(file string, catalogue *clauses.Catalogue) (*Baseline, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	defer f.Close()
	baseline, err := ReadBaseline(f, catalogue)
	if err != nil {
		return nil, fmt.Errorf("baseline %s: %w", file, err)
	}
	return baseline, nil
}

// ReadBaseline reads and checks a baseline. An entry of a clause that was withdrawn becomes one of each clause that it went into.
func ReadBaseline(r io.Reader, catalogue *clauses.Catalogue) (*Baseline, error) {
	decoder := yaml.NewDecoder(r)
	decoder.KnownFields(true)
	var baseline Baseline
	if err := decoder.Decode(&baseline); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var problems []error
	seen := make(map[[4]string]bool)
	for i, entry := range baseline.Expected {
		if err := entry.validate(catalogue); err != nil {
			problems = append(problems, fmt.Errorf("entry %d (%s): %w", i+1, entry.Clause, err))
		}
		key := [4]string{entry.Clause, entry.Spec, entry.Subject, string(entry.Role)}
		if seen[key] {
			problems = append(problems, fmt.Errorf("entry %d (%s): stands there twice", i+1, entry.Clause))
		}
		seen[key] = true
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	baseline.Expected = currentEntries(catalogue, baseline.Expected)
	return &baseline, nil
}

func (e ExpectedFailure) validate(catalogue *clauses.Catalogue) error {
	var problems []error
	if _, known := catalogue.Current(e.Clause); !known {
		problems = append(problems, fmt.Errorf("clause %q is not in the catalogue", e.Clause))
	}
	if _, err := path.Match(e.Subject, ""); err != nil || e.Subject == "" {
		problems = append(problems, fmt.Errorf("subject %q is not a pattern", e.Subject))
	}
	if e.Role != "" && e.Role != clauses.Target && e.Role != clauses.Initiator {
		problems = append(problems, fmt.Errorf("role %q is neither target nor initiator", e.Role))
	}
	if e.Owner == "" {
		problems = append(problems, errors.New("owner is empty"))
	}
	if e.Reason == "" {
		problems = append(problems, errors.New("reason is empty"))
	}
	if _, err := time.Parse(time.DateOnly, string(e.Expires)); err != nil {
		problems = append(problems, fmt.Errorf("expires %q is not a day like 2030-06-30", e.Expires))
	}
	return errors.Join(problems...)
}

// speaksOf says whether the entry is about result r of the run with header h.
func (e ExpectedFailure) speaksOf(r Result, h Header) bool {
	return e.Clause == r.Clause && (e.Spec == "" || e.Spec == r.Spec) && e.matchesSubject(h, r.Role)
}

// matchesSubject says whether a subject of the run, in the given role if one is given, is one that the entry is about.
func (e ExpectedFailure) matchesSubject(h Header, role clauses.Role) bool {
	for _, s := range h.Subjects {
		if role != "" && s.Role != role || e.Role != "" && s.Role != e.Role {
			continue
		}
		if ok, err := path.Match(e.Subject, s.Name); err == nil && ok {
			return true
		}
	}
	return false
}

// applyBaseline turns FAIL into XFAIL and PASS into XPASS where the baseline of the run says so, and returns what is wrong
// with the baseline itself. An entry speaks for all results that it matches together: only if none of them fails is
// their passing unexpected, and that of a race never is.
func applyBaseline(h Header, interrupted bool, results []*ResultOutcome) []Problem {
	var problems []Problem
	for _, entry := range h.Baseline {
		if !entry.matchesSubject(h, "") {
			continue
		}
		if entry.Expires.Before(h.Start) {
			problems = append(problems, entry.problem(h, fmt.Sprintf(
				"expired on %s (owner %s: %s)", entry.Expires, entry.Owner, entry.Reason)))
			continue
		}
		matched := entry.match(h, results)
		if len(matched) == 0 {
			if h.Complete() && !interrupted {
				problems = append(problems, entry.problem(h, "matches no result of this run"))
			}
			continue
		}
		entry.apply(matched)
	}
	return problems
}

// For counts the entries that are about any of the subjects.
func (b *Baseline) For(subjects []Subject) int {
	count := 0
	for _, entry := range b.Expected {
		if entry.matchesSubject(Header{Subjects: subjects}, "") {
			count++
		}
	}
	return count
}

func (e ExpectedFailure) match(h Header, results []*ResultOutcome) (matched []*ResultOutcome) {
	for _, r := range results {
		if e.speaksOf(r.Result, h) && r.Verdict != NotApplicable {
			matched = append(matched, r)
		}
	}
	return matched
}

func (e ExpectedFailure) apply(results []*ResultOutcome) {
	from, to := Pass, UnexpectedOK
	for _, r := range results {
		if r.Recorded() == Fail {
			from, to = Fail, ExpectedFail
		}
	}
	if e.Race && from == Pass {
		return
	}
	for _, r := range results {
		if r.Verdict == from {
			r.replace(to)
			r.Expected = &e
		}
	}
}

func (e ExpectedFailure) problem(h Header, what string) Problem {
	entry := e.Clause
	if e.Spec != "" {
		entry += fmt.Sprintf(" (%s)", e.Spec)
	}
	return Problem{
		Kind: BaselineProblem,
		Text: fmt.Sprintf("baseline %s: the entry %s for %s %s", h.BaselineFile, entry, e.Subject, what),
	}
}
