// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"slices"
)

// Verdict is what was found of a clause.
type Verdict string

// The verdicts.
const (
	Pass          Verdict = "PASS"           // the clause was tried and held
	Fail          Verdict = "FAIL"           // the subject broke the clause
	Skip          Verdict = "SKIP"           // not tried, for the reason that the reason code names
	NotApplicable Verdict = "NOT-APPLICABLE" // the clause does not speak of this subject
	ExpectedFail  Verdict = "XFAIL"          // broken, as the baseline expects
	UnexpectedOK  Verdict = "XPASS"          // held, although the baseline expects a failure: the baseline is wrong
	Inconclusive  Verdict = "INCONCLUSIVE"   // transport or environment at fault, shown by an independent probe
	SuiteError    Verdict = "ERROR"          // the suite is at fault
)

// order lists the verdicts, worst first.
var order = []Verdict{Fail, UnexpectedOK, SuiteError, Inconclusive, ExpectedFail, Pass, Skip, NotApplicable}

// Verdicts returns all verdicts, worst first.
func Verdicts() []Verdict { return slices.Clone(order) }

// Worst returns the worst of the verdicts, and "" of none.
func Worst(verdicts ...Verdict) Verdict {
	worst := Verdict("")
	for _, v := range verdicts {
		if worst == "" || v.WorseThan(worst) {
			worst = v
		}
	}
	return worst
}

// WorseThan says whether v stands before other in the order of the package comment.
func (v Verdict) WorseThan(other Verdict) bool {
	return slices.Index(order, v) < slices.Index(order, other)
}

// Decided says whether the verdict tells something about the subject: it was tried and the trial came to an end.
func (v Verdict) Decided() bool {
	return slices.Contains([]Verdict{Pass, Fail, ExpectedFail, UnexpectedOK}, v)
}

// Validate returns an error if v is not one of the verdicts.
func (v Verdict) Validate() error {
	if !slices.Contains(order, v) {
		return fmt.Errorf("verdict %q is not one of %q", string(v), order)
	}
	return nil
}

// recordable are the verdicts that a spec may give. The two of the baseline are given by [Judge] alone.
var recordable = []Verdict{Pass, Fail, Skip, NotApplicable, Inconclusive, SuiteError}
