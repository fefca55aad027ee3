// SPDX-License-Identifier: Apache-2.0

package verdict

import "fmt"

// ExitCode is what a run, or the command, ends with.
type ExitCode int

// The exit codes.
const (
	ExitHolds        ExitCode = 0
	ExitFails        ExitCode = 1
	ExitUsage        ExitCode = 2
	ExitEnvironment  ExitCode = 3
	ExitNothingRan   ExitCode = 4
	ExitInconclusive ExitCode = 5
)

var exitMeanings = []string{
	ExitHolds:        "every MUST clause that was judged holds, or fails as the baseline expects",
	ExitFails:        "a MUST clause fails, the baseline is wrong (unexpected pass, expired or unmatched entry), or a clause of the profile was not seen to hold",
	ExitUsage:        "wrong usage: unknown flag, clause or file format, or a suite that does not fit the catalogue",
	ExitEnvironment:  "the environment or the suite is at fault: set-up failed, a spec erred, or the run was interrupted",
	ExitNothingRan:   "nothing was judged: every clause was skipped or does not apply",
	ExitInconclusive: "a MUST clause could not be judged because the transport or a machine failed",
}

// ExitCodes returns all exit codes in numeric order.
func ExitCodes() []ExitCode {
	codes := make([]ExitCode, len(exitMeanings))
	for i := range codes {
		codes[i] = ExitCode(i)
	}
	return codes
}

// Meaning is the code in words.
func (c ExitCode) Meaning() string {
	if c < 0 || int(c) >= len(exitMeanings) {
		return fmt.Sprintf("exit code %d is not in use", int(c))
	}
	return exitMeanings[c]
}

// Exit is the exit code of an outcome with the sentence that explains it.
type Exit struct {
	Code     ExitCode `json:"code"`
	Sentence string   `json:"sentence"`
}

// exit gives the exit code. A proven violation comes before a doubt: 1, 3, 5, 4, 0.
func (o *Outcome) exit() Exit {
	n := o.tally()
	switch {
	case n.bindingFails > 0:
		return Exit{ExitFails, fmt.Sprintf("%s broken; %s", count(n.bindingFails, "MUST clause"), n.judged())}
	case n.unexpected > 0:
		return Exit{ExitFails, fmt.Sprintf("%s passed that the baseline expects to fail: remove the entries", count(n.unexpected, "clause"))}
	case o.hasProblem(BaselineProblem):
		return Exit{ExitFails, "the baseline of expected failures is wrong"}
	case n.errors > 0:
		return Exit{ExitEnvironment, fmt.Sprintf("the suite failed on %s", count(n.errors, "clause"))}
	case o.Interrupted:
		return Exit{ExitEnvironment, "the run was interrupted before its end"}
	case n.bindingDoubts > 0:
		return Exit{ExitInconclusive, fmt.Sprintf("%s could not be judged; %s", count(n.bindingDoubts, "MUST clause"), n.judged())}
	case n.decided == 0:
		return Exit{ExitNothingRan, "nothing was judged"}
	case o.Profile != nil && !o.Profile.Holds():
		return Exit{ExitFails, fmt.Sprintf("%s; %s", o.Profile.sentence(), n.judged())}
	case n.expected > 0:
		return Exit{ExitHolds, fmt.Sprintf("%s, %d of them broken as expected", n.judged(), n.expected)}
	default:
		return Exit{ExitHolds, fmt.Sprintf("%s, every MUST among them holds", n.judged())}
	}
}

// tally counts what the exit code depends on, in clauses.
type tally struct {
	bindingFails, bindingDoubts, unexpected, expected, errors, decided, applicable int
}

// judged says how many clauses were judged of those that apply to the subjects.
func (n tally) judged() string {
	return fmt.Sprintf("%d of %s judged", n.decided, count(n.applicable, "applicable clause"))
}

// Judged says how many clauses were judged, of how many that apply to the subjects.
func (o *Outcome) Judged() (judged, applicable int) {
	n := o.tally()
	return n.decided, n.applicable
}

func (o *Outcome) tally() tally {
	var n tally
	for _, area := range o.Areas {
		for _, clause := range area.Clauses {
			n.bindingFails += toInt(clause.hasBinding(Fail))
			n.bindingDoubts += toInt(clause.hasBinding(Inconclusive))
			n.unexpected += toInt(clause.Counts[UnexpectedOK] > 0)
			n.expected += toInt(clause.Counts[ExpectedFail] > 0)
			n.errors += toInt(clause.Counts[SuiteError] > 0 || clause.Verdict == SuiteError)
			n.decided += toInt(clause.decided())
			n.applicable += toInt(clause.Verdict != NotApplicable)
		}
	}
	return n
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
