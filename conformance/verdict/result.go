// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Result is what one spec, or the passive judge, found of one clause.
type Result struct {
	// Clause is the id of the clause.
	Clause string `json:"clause"`
	// Spec is the stable name of who decided: container and spec texts joined by blanks, never a label.
	Spec string `json:"spec"`
	// Role is the role of the subject that the verdict is about; "" means every subject of the run that the clause judges.
	Role clauses.Role `json:"role,omitempty"`
	// Configuration is that of the subject meanwhile, as in the header; "" means every configuration of the run.
	Configuration string `json:"configuration,omitempty"`
	// Verdict is one of PASS, FAIL, SKIP, NOT-APPLICABLE, INCONCLUSIVE, ERROR.
	Verdict Verdict `json:"verdict"`
	// Reason is the code; empty for PASS only.
	Reason Reason `json:"reason,omitempty"`
	// Message says in words what was expected and what was seen.
	Message string `json:"message,omitempty"`
	// Start is when the spec began.
	Start time.Time `json:"start"`
	// Duration is how long the spec took, in nanoseconds.
	Duration time.Duration `json:"duration_ns"`
	// Timings are measured times beside their bounds.
	Timings []Timing `json:"timings,omitempty"`
	// Timeline is what happened when: faults, path states, first and last failed I/O.
	Timeline []Event `json:"timeline,omitempty"`
	// Series are quantities over time on the same axis as Timeline, e.g. the I/O rate across a fault.
	Series []Series `json:"series,omitempty"`
	// Evidence lists files that show what happened.
	Evidence []Evidence `json:"evidence,omitempty"`
	// Rerun is the shell command that runs this spec alone again.
	Rerun string `json:"rerun,omitempty"`
}

// Undecided says that the spec never got to judge the subject: the machine was at fault, or its preparation failed, perhaps by
// what a spec before it has left. It is worth running again, alone.
func (r Result) Undecided() bool { return r.Verdict == Inconclusive || r.Reason == SetupFailed }

// Where names the spec, and the configuration of the subject if there are several.
func (r Result) Where() string {
	if r.Configuration == "" {
		return r.Spec
	}
	return r.Spec + " (" + r.Configuration + ")"
}

// Bound is a time that a user can rely on, and how it follows from what was configured.
type Bound struct {
	AtLeast time.Duration // 0 where sooner is better
	Limit   time.Duration
	Formula string
}

// String gives the limit and its derivation.
func (b Bound) String() string { return fmt.Sprintf("%s (%s)", b.Limit, b.Formula) }

// Timing is a measured time beside its bounds.
type Timing struct {
	// Name says what was measured, e.g. "I/O stall".
	Name string `json:"name"`
	// Value is the measured time in nanoseconds.
	Value time.Duration `json:"value_ns"`
	// AtLeast is the lower bound in nanoseconds; 0 means none.
	AtLeast time.Duration `json:"at_least_ns,omitempty"`
	// AtMost is the upper bound in nanoseconds; 0 means none.
	AtMost time.Duration `json:"at_most_ns,omitempty"`
	// Formula is how the bound follows from the configured timers, e.g. "interval x (misses + 1) + connect timeout".
	Formula string `json:"formula,omitempty"`
	// Terms gives the value of each word of the formula, in nanoseconds.
	Terms map[string]time.Duration `json:"terms_ns,omitempty"`
	// Clauses are the ids that the time decides, of a spec that claims several; empty means all that it claims.
	Clauses []string `json:"clauses,omitempty"`
}

// Within says whether the measured time keeps its bounds.
func (t Timing) Within() bool {
	return t.Value >= t.AtLeast && (t.AtMost == 0 || t.Value <= t.AtMost)
}

// Speaks says whether the measured time is about the clause.
func (t Timing) Speaks(clause string) bool {
	return len(t.Clauses) == 0 || slices.Contains(t.Clauses, clause)
}

func (t Timing) validate(r Result) error {
	switch {
	case t.Value < 0:
		return fmt.Errorf("%s is negative", t.Value)
	case t.AtMost != 0 && t.AtMost < t.AtLeast:
		return fmt.Errorf("at most %s is below at least %s", t.AtMost, t.AtLeast)
	case r.Verdict == Pass && t.Speaks(r.Clause) && !t.Within():
		return fmt.Errorf("%s is outside its bounds, and the verdict is PASS", t.Value)
	default:
		return nil
	}
}

// Event is one thing that happened during a spec.
type Event struct {
	// At is the time since the start of the spec, in nanoseconds.
	At time.Duration `json:"at_ns"`
	// Where names the host, rail or path, e.g. "client rail0"; may be empty.
	Where string `json:"where,omitempty"`
	// What happened, e.g. "carrier lost".
	What string `json:"what"`
}

// Series is one quantity over time.
type Series struct {
	Name   string  `json:"name"` // e.g. "completed I/O"
	Unit   string  `json:"unit"` // e.g. "1/s"
	Points []Point `json:"points"`
}

// Point is one sample of a [Series].
type Point struct {
	At    time.Duration `json:"at_ns"` // since the start of the spec, in nanoseconds
	Value float64       `json:"value"` // in the unit of the series
}

// EvidenceKind says what an evidence file is.
type EvidenceKind string

// The kinds of evidence.
const (
	Packets   EvidenceKind = "pcapng"
	KernelLog EvidenceKind = "kernel-log"
	Console   EvidenceKind = "console"
	SysfsTree EvidenceKind = "sysfs"
	OtherFile EvidenceKind = "file"
)

// Evidence is one file beside the report.
type Evidence struct {
	Kind EvidenceKind `json:"kind"`
	// Path of the file, relative to the directory of the report, with forward slashes.
	Path string `json:"path"`
	// Frames are the numbers (from 1) of the frames in Path that matter; for packets only.
	Frames []int `json:"frames,omitempty"`
	// Note says what to look at.
	Note string `json:"note,omitempty"`
}

// Validate returns an error that names each field of the result that cannot be recorded: an unknown clause, a missing
// spec name, a verdict that only a baseline gives, a reason code that does not belong to the verdict, a PASS beside a
// time outside its bounds.
func (r Result) Validate(catalogue *clauses.Catalogue) error {
	var problems []error
	if _, known := catalogue.Get(r.Clause); !known {
		problems = append(problems, fmt.Errorf("clause %q is not in the catalogue", r.Clause))
	}
	if r.Spec == "" {
		problems = append(problems, errors.New("spec name is empty"))
	}
	if err := r.validateVerdict(); err != nil {
		problems = append(problems, err)
	}
	if r.Duration < 0 {
		problems = append(problems, fmt.Errorf("duration %s is negative", r.Duration))
	}
	for _, timing := range r.Timings {
		if err := timing.validate(r); err != nil {
			problems = append(problems, fmt.Errorf("timing %q: %w", timing.Name, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("result of spec %q on clause %q: %w", r.Spec, r.Clause, err)
	}
	return nil
}

func (r Result) validateVerdict() error {
	if slices.Contains(recordable, r.Verdict) {
		return r.Reason.check(r.Verdict)
	}
	return fmt.Errorf("verdict %q is not one of %q", string(r.Verdict), recordable)
}
