// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Kind says what a mutant is made of and who judges it.
type Kind string

// The kinds of mutants.
const (
	Server Kind = "server" // a server in this process with a rule turned off, or to which packets look other than they are; judged by attacks, or by its packets
	Client Kind = "client" // a client in this process, likewise; judged by scripted servers, or by its packets
	Wire   Kind = "wire"   // a recorded exchange, altered as if a broken implementation had taken part, judged from its frames
	Liar   Kind = "liar"   // a server that is broken as a whole: it dies, falls silent, forgets or pretends
	Lab    Kind = "lab"    // a pair in guests whose files, packets or arguments are altered on their way, judged by the specs of the lab
)

// Status is what became of a mutant.
type Status string

// The statuses.
const (
	Killed   Status = "killed"   // every clause that it breaks was found broken by a spec that claims it
	Survived Status = "survived" // nothing was found: the suite does not see the violation
	Mistaken Status = "mistaken" // something was found, but not what it breaks, or more than that
	Unsound  Status = "unsound"  // a spec could not be run, or blames the control as well
)

// Detection is a broken clause as a spec has seen it.
type Detection struct {
	Clause string `json:"clause"` // with the role behind it where the judge tells both sides apart
	Spec   string `json:"spec"`
	Saw    string `json:"saw"`
}

// Row is what became of one mutant.
type Row struct {
	Mutant   string        `json:"mutant"`
	Kind     Kind          `json:"kind"`
	What     string        `json:"what"`
	Breaks   []string      `json:"breaks"`  // ids of clauses, each with a role behind it where the judge tells both sides apart
	Status   Status        `json:"fate"`    // the key of all reports so far
	Kills    []Detection   `json:"kills"`   // of what it breaks, in the order of Breaks
	Others   []Detection   `json:"others"`  // of what it should not break
	Message  string        `json:"message"` // why it is not dead; "" otherwise
	Duration time.Duration `json:"duration_ns"`
}

// Specs are those that have found the mutant, each once.
func (r Row) Specs() []string {
	var names []string
	for _, s := range r.Kills {
		if !slices.Contains(names, s.Spec) {
			names = append(names, s.Spec)
		}
	}
	return names
}

// ClauseOf is the id in an entry of Breaks.
func ClauseOf(key string) string {
	id, _, _ := strings.Cut(key, " ")
	return id
}

// Matrix is the kill matrix: a row for each mutant, in the order of the tables.
type Matrix struct {
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	Rows     []Row         `json:"rows"`
}

// Count counts the rows of each status.
func (m *Matrix) Count() map[Status]int {
	counts := make(map[Status]int)
	for _, row := range m.Rows {
		counts[row.Status]++
	}
	return counts
}

// Clauses are the ids of the clauses that the mutants of the matrix break, in order.
func (m *Matrix) Clauses() []string {
	ids := make(map[string]bool)
	for _, row := range m.Rows {
		for _, key := range row.Breaks {
			ids[ClauseOf(key)] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// Exit is how the matrix ends a command: a mutant that lives, or is dead for the wrong reason, fails.
func (m *Matrix) Exit() verdict.Exit {
	n := m.Count()
	dead := fmt.Sprintf("%d of %d mutants are dead, by %d clauses", n[Killed], len(m.Rows), len(m.Clauses()))
	switch {
	case n[Survived]+n[Mistaken] > 0:
		return verdict.Exit{Code: verdict.ExitFails, Sentence: fmt.Sprintf("%s; %d survived, %d were caught for the wrong reason", dead, n[Survived], n[Mistaken])}
	case n[Unsound] > 0:
		return verdict.Exit{Code: verdict.ExitEnvironment, Sentence: fmt.Sprintf("%s; %d could not be tried", dead, n[Unsound])}
	case len(m.Rows) == 0:
		return verdict.Exit{Code: verdict.ExitNothingRan, Sentence: "no mutant was tried"}
	}
	return verdict.Exit{Code: verdict.ExitHolds, Sentence: dead}
}
