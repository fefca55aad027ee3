// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Outcome is the judgement of a run. It is what reports show.
type Outcome struct {
	Header      Header        `json:"header"`
	End         time.Time     `json:"end,omitzero"` // zero if the run was interrupted
	Interrupted bool          `json:"interrupted"`
	Exit        Exit          `json:"exit"`
	Counts      Counts        `json:"counts"`   // clauses by verdict
	Warnings    int           `json:"warnings"` // how many of the FAIL among Counts do not bind
	Areas       []AreaOutcome `json:"areas"`
	Problems    []Problem     `json:"problems"`
	// Profile is what became of the profile of the run, if it has one.
	Profile *ProfileOutcome `json:"profile,omitempty"`
}

// Counts says how many there are of each verdict. Verdicts of which there are none are absent.
type Counts map[Verdict]int

// AreaOutcome is the outcome of one area of the catalogue.
type AreaOutcome struct {
	Name     string          `json:"name"`
	Title    string          `json:"title"`
	Counts   Counts          `json:"counts"`   // clauses by verdict
	Warnings int             `json:"warnings"` // how many of the FAIL among Counts do not bind
	Clauses  []ClauseOutcome `json:"clauses"`
}

// ClauseOutcome is the outcome of one clause over all of its results.
type ClauseOutcome struct {
	ID    string        `json:"id"`
	Level clauses.Level `json:"level"`
	Role  clauses.Role  `json:"judges"`
	Text  string        `json:"text"`
	Force clauses.Force `json:"force"`
	Scope clauses.Scope `json:"scope"`
	// Verdict is the worst of the results, or why there are none.
	Verdict Verdict `json:"verdict"`
	Reason  Reason  `json:"reason,omitempty"`
	// Message is that of the result that decided, or says why there is none.
	Message string `json:"message,omitempty"`
	// Counts are the results by verdict.
	Counts  Counts          `json:"counts"`
	Results []ResultOutcome `json:"results"`
}

// ResultOutcome is a result after the subject's properties and the baseline were taken into account.
type ResultOutcome struct {
	Result
	// Force is how the clause binds the subject that this result is about.
	Force clauses.Force `json:"force"`
	// Was is the recorded verdict if it was replaced, else "".
	Was Verdict `json:"was,omitempty"`
	// Expected is the baseline's entry if it replaced the verdict.
	Expected *ExpectedFailure `json:"expected,omitempty"`
}

// ProblemKind says what a problem is about.
type ProblemKind string

// The kinds of problems.
const (
	BaselineProblem ProblemKind = "baseline" // the baseline is wrong
	JournalProblem  ProblemKind = "journal"  // the record of the run is incomplete
)

// Problem is something wrong with the run that belongs to no single clause.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	Text string      `json:"text"`
}

// Recorded is the verdict as the spec gave it.
func (r ResultOutcome) Recorded() Verdict {
	if r.Was != "" {
		return r.Was
	}
	return r.Verdict
}

func (r *ResultOutcome) replace(v Verdict) {
	r.Was, r.Verdict = r.Recorded(), v
}

// Warning says whether the result breaks a clause that does not bind: worth showing, no reason to fail.
func (r ResultOutcome) Warning() bool { return r.Verdict == Fail && r.Force != clauses.Binding }

// Warning says whether the clause is broken and no result that breaks it is binding.
func (c ClauseOutcome) Warning() bool { return c.Verdict == Fail && !c.hasBinding(Fail) }

func (c ClauseOutcome) hasBinding(v Verdict) bool {
	for _, r := range c.Results {
		if r.Verdict == v && r.Force == clauses.Binding {
			return true
		}
	}
	return false
}

func (c ClauseOutcome) decided() bool {
	for v, n := range c.Counts {
		if n > 0 && v.Decided() {
			return true
		}
	}
	return false
}

func (o *Outcome) hasProblem(kind ProblemKind) bool {
	for _, p := range o.Problems {
		if p.Kind == kind {
			return true
		}
	}
	return false
}

// Clauses returns the outcomes of all clauses in catalogue order.
func (o *Outcome) Clauses() []ClauseOutcome {
	var all []ClauseOutcome
	for _, area := range o.Areas {
		all = append(all, area.Clauses...)
	}
	return all
}

// Took is the time from start to end, 0 if the run was interrupted.
func (o *Outcome) Took() time.Duration {
	if o.End.IsZero() {
		return 0
	}
	return o.End.Sub(o.Header.Start)
}

// Judge gives the outcome of a run, also of one that was recorded when the catalogue had clauses that were withdrawn since. It
// depends on its arguments only. The error says which recorded result does not fit
// the catalogue.
func Judge(catalogue *clauses.Catalogue, run Run) (*Outcome, error) {
	run = run.current(catalogue)
	outcome := &Outcome{Header: run.Header, End: run.End, Interrupted: run.Interrupted(), Counts: Counts{}}
	results, err := prepare(catalogue, run)
	if err != nil {
		return nil, err
	}
	outcome.Problems = append(journalProblems(run), applyBaseline(run.Header, run.Interrupted(), results)...)

	byClause := make(map[string][]ResultOutcome)
	for _, r := range results {
		byClause[r.Clause] = append(byClause[r.Clause], *r)
	}
	for _, area := range catalogue.Areas() {
		judged := judgeArea(catalogue, area, run, byClause)
		if judged.concerns(run.Header) {
			outcome.Areas = append(outcome.Areas, judged)
			outcome.Counts.add(judged.Counts)
			outcome.Warnings += judged.Warnings
		}
	}
	if run.Header.Profile != nil {
		outcome.Profile = run.Header.Profile.judge(outcome.Areas)
	}
	outcome.Exit = outcome.exit()
	return outcome, nil
}

// prepare copies the results and settles how each binds its subject.
func prepare(catalogue *clauses.Catalogue, run Run) ([]*ResultOutcome, error) {
	var prepared []*ResultOutcome
	superseded := supersede(run.Results)
	for i, r := range run.Results {
		if err := r.Validate(catalogue); err != nil {
			return nil, fmt.Errorf("judge run: %w", err)
		}
		if superseded[i] {
			continue
		}
		clause, _ := catalogue.Get(r.Clause)
		force, why := clause.ForceOver(run.Header.clauseSubjects(r.Role, r.Configuration))
		outcome := &ResultOutcome{Result: r, Force: force}
		if force == clauses.NotApplicable && r.Verdict != NotApplicable {
			outcome.replace(NotApplicable)
			outcome.Reason, outcome.Message = whyNot(clause, run.Header.clauseSubjects(r.Role, r.Configuration)), why
		}
		prepared = append(prepared, outcome)
	}
	return prepared, nil
}

// supersede marks the results that a later one of the same spec takes the place of: a spec that ended INCONCLUSIVE may run
// again, since nothing was known of the subject, and so may one that could not be prepared. Any other verdict stays, whatever
// comes after it.
func supersede(results []Result) []bool {
	type who struct {
		clause, spec, configuration string
		role                        clauses.Role
	}
	of := func(r Result) who { return who{r.Clause, r.Spec, r.Configuration, r.Role} }
	last := make(map[who]int)
	for i, r := range results {
		last[of(r)] = i
	}
	marks := make([]bool, len(results))
	for i, r := range results {
		marks[i] = r.Undecided() && i < last[of(r)]
	}
	return marks
}

// whyNot is the reason code for a clause that does not apply to some subjects.
func whyNot(clause clauses.Clause, subjects []clauses.Subject) Reason {
	reason := OtherDialect
	for _, s := range subjects {
		switch {
		case !clause.HoldsFor(s.Dialect):
		case !clause.Role.Judges(s.Role):
			reason = OtherRole
		default:
			return LacksAbility
		}
	}
	return reason
}

func journalProblems(run Run) []Problem {
	problems := []Problem{}
	if run.Torn {
		problems = append(problems, Problem{JournalProblem, "the journal breaks off in the middle of a record"})
	}
	if run.Interrupted() {
		problems = append(problems, Problem{JournalProblem, "the run was interrupted: what follows is true but not all"})
	}
	return problems
}

func judgeArea(catalogue *clauses.Catalogue, area clauses.Area, run Run, results map[string][]ResultOutcome) AreaOutcome {
	judged := AreaOutcome{Name: area.Name, Title: area.Title, Counts: Counts{}}
	for _, clause := range catalogue.Select(clauses.Filter{Areas: []string{area.Name}}) {
		c := judgeClause(clause, run, results[clause.ID])
		judged.Clauses = append(judged.Clauses, c)
		judged.Counts[c.Verdict]++
		judged.Warnings += toInt(c.Warning())
	}
	return judged
}

func judgeClause(clause clauses.Clause, run Run, results []ResultOutcome) ClauseOutcome {
	force, why := clause.ForceOver(run.Header.clauseSubjects("", ""))
	c := ClauseOutcome{
		ID: clause.ID, Level: clause.Level, Role: clause.Role, Text: clause.Text, Scope: clause.Scope,
		Force: force, Counts: Counts{}, Results: results,
	}
	if len(results) == 0 {
		c.Results = []ResultOutcome{}
		c.Verdict, c.Reason, c.Message = withoutResult(clause, run, force, why)
		return c
	}
	for _, r := range results {
		c.Counts[r.Verdict]++
		if c.Verdict == "" || r.Verdict.WorseThan(c.Verdict) {
			c.Verdict, c.Reason, c.Message = r.Verdict, r.Reason, r.Message
		}
	}
	return c
}

// withoutResult says why a clause has no result.
func withoutResult(clause clauses.Clause, run Run, force clauses.Force, why string) (Verdict, Reason, string) {
	specs := run.Header.Specs[clause.ID]
	switch {
	case force == clauses.NotApplicable:
		return NotApplicable, whyNot(clause, run.Header.clauseSubjects("", "")), why
	case len(clause.Decided.By) == 0:
		return Skip, Undecidable, clause.Decided.Undecidable
	case len(specs) == 0 && clause.DecidedBy(clauses.Audit):
		return Skip, NotSeen, NotSeen.Meaning()
	case len(specs) == 0:
		return Skip, NoSpec, NoSpec.Meaning()
	case run.Interrupted():
		return Skip, NotReached, NotReached.Meaning()
	case !run.Header.Complete():
		return Skip, NotSelected, NotSelected.Meaning()
	default:
		return SuiteError, SuiteBug, fmt.Sprintf("%s claims it, and none reported", count(len(specs), "spec"))
	}
}

// concerns says whether the area has anything to do with the subjects of the run: a result, or a clause that is not
// merely in another dialect.
func (a AreaOutcome) concerns(h Header) bool {
	for _, c := range a.Clauses {
		if len(c.Results) > 0 || c.Reason != OtherDialect {
			return len(h.Subjects) > 0
		}
	}
	return false
}

func (c Counts) add(other Counts) {
	for v, n := range other {
		c[v] += n
	}
}

// Sum is the number of clauses, or results, counted.
func (c Counts) Sum() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}
