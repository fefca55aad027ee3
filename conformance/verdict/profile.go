// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Profile is what a release must be seen to keep, in words of its vendor. Its file is YAML:
//
//	name: acme storage 2         # in reports and on the badge
//	hold:                        # clauses, whatever their level; an area stands for its MUST clauses that apply to the subject
//	  - IBNBD-OPEN
//	  - IBTRS-HB-010
//	except:                      # optional: clauses of these areas that are not part of it, each with the reason
//	  IBNBD-OPEN-022: the target has one export only
//
// What the baseline expects to fail, what was skipped and what does not apply was not seen to hold.
type Profile struct {
	Name   string            `yaml:"name" json:"name"`
	Hold   []string          `yaml:"hold" json:"hold"`
	Except map[string]string `yaml:"except,omitempty" json:"except,omitempty"`
}

// LoadProfile reads a profile from a file. The error names the file and the field; it is about usage.
func LoadProfile(file string, catalogue *clauses.Catalogue) (*Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	defer f.Close()
	profile, err := ReadProfile(f, catalogue)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", file, err)
	}
	return profile, nil
}

// ReadProfile reads and checks a profile.
func ReadProfile(r io.Reader, catalogue *clauses.Catalogue) (*Profile, error) {
	decoder := yaml.NewDecoder(r)
	decoder.KnownFields(true)
	var p Profile
	if err := decoder.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := p.check(catalogue); err != nil {
		return nil, err
	}
	return &p, nil
}

func (p Profile) check(catalogue *clauses.Catalogue) error {
	var problems []error
	if p.Name == "" {
		problems = append(problems, errors.New("name is empty"))
	}
	if len(p.Hold) == 0 {
		problems = append(problems, errors.New("hold is empty: name clauses or areas"))
	}
	for i, word := range p.Hold {
		if err := checkHold(word, catalogue); err != nil {
			problems = append(problems, err)
		}
		if slices.Contains(p.Hold[:i], word) {
			problems = append(problems, fmt.Errorf("hold: %s stands there twice", word))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.Except)) {
		clause, known := catalogue.Get(id)
		switch {
		case !known:
			problems = append(problems, fmt.Errorf("except: clause %q is not in the catalogue", id))
		case !slices.Contains(p.Hold, clause.Area):
			problems = append(problems, fmt.Errorf("except: %s is not of an area under hold", id))
		case strings.TrimSpace(p.Except[id]) == "":
			problems = append(problems, fmt.Errorf("except: %s has no reason", id))
		}
	}
	return errors.Join(problems...)
}

func checkHold(word string, catalogue *clauses.Catalogue) error {
	if w, gone := catalogue.Withdrawal(word); gone {
		return fmt.Errorf("hold: %s", w)
	}
	if _, known := catalogue.Get(word); known || slices.Contains(catalogue.AreaNames(), word) {
		return nil
	}
	return fmt.Errorf("hold: %q is neither a clause nor an area of the catalogue", word)
}

// wants says whether a clause is part of the profile.
func (p Profile) wants(c ClauseOutcome, area string) bool {
	if slices.Contains(p.Hold, c.ID) {
		return true
	}
	_, excepted := p.Except[c.ID]
	return slices.Contains(p.Hold, area) && !excepted && c.Level == clauses.Must && c.Force == clauses.Binding
}

// ProfileOutcome is what a run says of a profile.
type ProfileOutcome struct {
	Name    string          `json:"name"`
	Clauses int             `json:"clauses"` // how many it has
	Open    []ProfileClause `json:"open"`    // those that were not seen to hold
}

// ProfileClause is a clause of a profile that was not seen to hold.
type ProfileClause struct {
	ID      string  `json:"id"`
	Verdict Verdict `json:"verdict"` // "" for a clause of an area that has nothing to do with the subjects
	Reason  Reason  `json:"reason,omitempty"`
}

// Holds says whether every clause of the profile was seen to hold.
func (p *ProfileOutcome) Holds() bool { return p.Clauses > 0 && len(p.Open) == 0 }

// judge says what became of the clauses of the profile.
func (p Profile) judge(areas []AreaOutcome) *ProfileOutcome {
	o := &ProfileOutcome{Name: p.Name, Open: []ProfileClause{}}
	there := make(map[string]bool)
	for _, area := range areas {
		for _, c := range area.Clauses {
			if !p.wants(c, area.Name) {
				continue
			}
			there[c.ID] = true
			o.Clauses++
			if c.Verdict != Pass {
				o.Open = append(o.Open, ProfileClause{c.ID, c.Verdict, c.Reason})
			}
		}
		there[area.Name] = true
	}
	for _, word := range p.Hold {
		if !there[word] {
			o.Clauses++
			o.Open = append(o.Open, ProfileClause{ID: word, Verdict: NotApplicable, Reason: OtherDialect})
		}
	}
	return o
}

// sentence says how many clauses were not seen to hold, and names the first.
func (p *ProfileOutcome) sentence() string {
	if p.Clauses == 0 {
		return fmt.Sprintf("profile %q has no clause that applies", p.Name)
	}
	const shown = 5
	var names []string
	for _, c := range p.Open[:min(shown, len(p.Open))] {
		names = append(names, fmt.Sprintf("%s %s", c.ID, c.Verdict))
	}
	if more := len(p.Open) - shown; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d of the %s of profile %q not seen to hold (%s)", len(p.Open), count(p.Clauses, "clause"), p.Name, strings.Join(names, ", "))
}
