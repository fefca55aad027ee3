// SPDX-License-Identifier: Apache-2.0

package finding

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Violation is a clause that the subject has broken.
type Violation struct {
	Clause string
	What   string    // what was seen, and what should have been
	At     time.Time // when
}

// Error names the clause.
func (v *Violation) Error() string { return v.Clause + ": " + v.What }

// Broken makes a violation.
func Broken(clause, format string, args ...any) error {
	return &Violation{clause, fmt.Sprintf(format, args...), time.Now()}
}

// Unready is an ordinary request of a spec that went wrong, without which the spec could not try what it is about.
type Unready struct {
	Err error
	At  time.Time // when it went wrong
}

// Error is that of the request.
func (u *Unready) Error() string { return u.Err.Error() }

// Unwrap gives the error of the request.
func (u *Unready) Unwrap() error { return u.Err }

// Unserved says that a subject does not serve any more when a spec has done with it, whatever the spec has found.
type Unserved struct {
	Found  error  // with which the spec ended; nil if all was well
	Err    error  // of an ordinary request
	Clause string // that says that the subject serves
	At     time.Time
}

// Error says what the spec has found, and what went wrong behind it.
func (u *Unserved) Error() string {
	if u.Found == nil {
		return u.said()
	}
	return u.Found.Error() + "; " + u.said()
}

func (u *Unserved) said() string {
	return fmt.Sprintf("afterwards an ordinary request goes wrong: %v", u.Err)
}

// Unwrap gives both.
func (u *Unserved) Unwrap() []error { return []error{u.Found, u.Err} }

// judge has the clause fail that says that the subject serves, and leaves the others as the spec has found them.
func (u *Unserved) judge(c Claims, late bool) []ClauseVerdict {
	all := Judge(u.Found, c, late)
	i := slices.IndexFunc(all, func(r ClauseVerdict) bool { return r.Clause == u.Clause })
	if i < 0 {
		all = append(all, ClauseVerdict{})
		i = len(all) - 1
	}
	all[i] = ClauseVerdict{Clause: u.Clause, Verdict: verdict.Fail, Reason: verdict.LeftBehind, Message: u.said(), At: u.At}
	return all
}

// NotReady notes the time at which an ordinary request went wrong. Errors that say something of a clause stay as they are.
func NotReady(err error) error {
	if f := Of(err); err == nil || len(f.Broken) > 0 || f.Undecided != nil || f.Unready != nil {
		return err
	}
	return &Unready{err, time.Now()}
}

// Undecided is why a spec could not decide its clauses. Its values are compared by identity, with errors.Is.
type Undecided struct {
	Reason verdict.Reason // one whose verdict is SKIP
	Text   string
	// Survived says that the spec did to the subject what it is about, so that it has seen whether the subject lives on.
	Survived bool
	// Only, unless empty, names the clauses that stay undecided: the spec has seen the others hold.
	Only []string
}

// Error is the reason in words.
func (u *Undecided) Error() string { return u.Text }

// Attached is an error with a file by which what it says can be seen again.
type Attached struct {
	Err     error
	Name    string // of the file
	Note    string // what it is
	Content []byte
}

// Error is that of the error alone.
func (a *Attached) Error() string { return a.Err.Error() }

// Unwrap gives the error.
func (a *Attached) Unwrap() error { return a.Err }

// Finding is what an error says of a subject; its zero value says nothing.
type Finding struct {
	Broken    []*Violation // in the order in which they stand in the error, one for each clause
	Undecided *Undecided   // why nothing was decided; nil beside a violation
	Unready   *Unready     // the ordinary request that went wrong, with its time; nil beside any of the others
}

// Of sorts an error.
func Of(err error) Finding {
	f := Finding{Broken: violations(err)}
	if len(f.Broken) == 0 {
		errors.As(err, &f.Undecided)
	}
	if len(f.Broken) == 0 && f.Undecided == nil {
		errors.As(err, &f.Unready)
	}
	return f
}

// violations are those in a tree of errors, the first of each clause.
func violations(err error) []*Violation {
	var all []*Violation
	switch e := err.(type) {
	case *Violation:
		return []*Violation{e}
	case interface{ Unwrap() error }:
		return violations(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			for _, v := range violations(err) {
				if !breaks(all, v.Clause) {
					all = append(all, v)
				}
			}
		}
	}
	return all
}

func breaks(all []*Violation, clause string) bool {
	return slices.ContainsFunc(all, func(v *Violation) bool { return v.Clause == clause })
}

// Breaks says whether a clause is among those that were seen broken.
func (f Finding) Breaks(clause string) bool { return breaks(f.Broken, clause) }

// Claims are what a spec decides.
type Claims struct {
	Clauses  []string
	Survival string // the clause that says whether the subject lives on; "" where that is no question
}

// ClauseVerdict is the verdict on one clause.
type ClauseVerdict struct {
	Clause  string
	Verdict verdict.Verdict
	Reason  verdict.Reason
	Message string
	At      time.Time // when a failure was seen; zero if that is not known
}

// Judge gives a ruling on each clause of the claims, and on each that was broken without being among them. Late says that the
// time of the spec was over when it ended.
func Judge(err error, c Claims, late bool) []ClauseVerdict {
	if err == nil {
		return c.all(ClauseVerdict{Verdict: verdict.Pass})
	}
	var unserved *Unserved
	if errors.As(err, &unserved) {
		return unserved.judge(c, late)
	}
	switch f := Of(err); {
	case len(f.Broken) > 0:
		return c.broken(f, err.Error())
	case f.Undecided != nil:
		return c.undecided(f.Undecided, err.Error())
	case late:
		return c.unready(f, verdict.SpecTimedOut, err.Error())
	default:
		return c.unready(f, verdict.AssertionFailed, err.Error())
	}
}

// all gives the same ruling on each clause.
func (c Claims) all(r ClauseVerdict) []ClauseVerdict {
	var all []ClauseVerdict
	for _, id := range c.Clauses {
		r.Clause = id
		all = append(all, r)
	}
	return all
}

// broken fails the clauses that were seen broken. The spec ended there, before it could decide the others.
func (c Claims) broken(f Finding, message string) []ClauseVerdict {
	c.Clauses = slices.Clone(c.Clauses)
	for _, v := range f.Broken {
		if !slices.Contains(c.Clauses, v.Clause) {
			c.Clauses = append(c.Clauses, v.Clause)
		}
	}
	rulings := c.all(ClauseVerdict{Verdict: verdict.Skip, Reason: verdict.NotReached, Message: EndedBefore(f.Broken[0].Clause)})
	for i := range rulings {
		r := &rulings[i]
		if !f.Breaks(r.Clause) {
			continue
		}
		r.Verdict, r.Reason, r.Message, r.At = verdict.Fail, verdict.ProtocolViolation, message, f.at(r.Clause)
		if r.Clause == c.Survival {
			r.Reason = verdict.SubjectDead
		}
	}
	return rulings
}

// at is when a clause was seen broken.
func (f Finding) at(clause string) time.Time {
	i := slices.IndexFunc(f.Broken, func(v *Violation) bool { return v.Clause == clause })
	return f.Broken[i].At
}

// unready is for an ordinary request that went wrong: that is a failure of the clause that says whether the subject serves, and
// nothing is known of the others.
func (c Claims) unready(f Finding, reason verdict.Reason, message string) []ClauseVerdict {
	rulings := c.all(ClauseVerdict{Verdict: verdict.Inconclusive, Reason: verdict.NotReady, Message: message})
	for i := range rulings {
		if r := &rulings[i]; r.Clause == c.Survival {
			r.Verdict, r.Reason = verdict.Fail, reason
			if f.Unready != nil {
				r.At = f.Unready.At
			}
		}
	}
	return rulings
}

// undecided skips all clauses, but for the one that was decided nevertheless.
func (c Claims) undecided(u *Undecided, message string) []ClauseVerdict {
	rulings := c.all(ClauseVerdict{Verdict: verdict.Skip, Reason: u.Reason, Message: message})
	for i := range rulings {
		id := rulings[i].Clause
		if u.Survived && id == c.Survival || len(u.Only) > 0 && !slices.Contains(u.Only, id) {
			rulings[i] = ClauseVerdict{Clause: id, Verdict: verdict.Pass}
		}
	}
	return rulings
}

// EndedBefore says that a spec ended before it could decide a clause, because another was broken.
func EndedBefore(broken string) string { return "the spec ended before, by a failure of " + broken }
