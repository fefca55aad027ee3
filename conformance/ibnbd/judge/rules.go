// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// rule decides one clause.
type rule struct {
	clause string
	on     []audit.Kind
	check  func(e *Event, r *audit.Ruling)
}

func on(kinds ...audit.Kind) []audit.Kind { return kinds }

// ruleTables are the rules by area, each in the file of its area.
var ruleTables = [][]rule{
	connRules, infoRules, immRules, ioRules, invRules, hbRules, pathRules, mpRules, msgRules, blockRules,
}

// aboutFirstPath is the clause that depends on whether another path of the session came before.
const aboutFirstPath = "IBTRS-CONN-013"

// acrossPaths are the clauses that depend on what comes first on which path of a session. (Permits that are used on two paths are
// looked at by their rules themselves.)
var acrossPaths = map[string]bool{
	aboutFirstPath: true, "IBTRS-CONN-028": true, "IBTRS-CONN-049": true, "IBTRS-INFO-013": true, "IBTRS-IMM-003": true,
	"IBTRS-PATH-012": true, "IBTRS-MP-002": true, "IBTRS-MP-003": true, "IBTRS-MP-004": true,
	"IBTRS-CONN-061": true, "IBNBD-OPEN-032": true,
	"IBNBD-MSG-001": true, "IBNBD-MSG-020": true, "IBNBD-FAIL-002": true, "IBNBD-OPEN-014": true, "IBNBD-OPEN-020": true,
	"IBNBD-SYSFS-035": true, "IBNBD-SYSFS-036": true,
}

// rules are all rules as the engine wants them.
func rules() []audit.Rule {
	var all []audit.Rule
	for _, r := range slices.Concat(ruleTables...) {
		all = append(all, audit.Rule{
			Clause: r.clause, On: r.on, Across: across(r.clause),
			Check: func(e *audit.Event, ruling *audit.Ruling) { r.check(Of(e), ruling) },
		})
	}
	return all
}

// across reports of an event whether what a clause says of it depends on several paths.
func across(clause string) func(*audit.Event) bool {
	if !acrossPaths[clause] {
		return nil
	}
	return func(event *audit.Event) bool {
		s := Of(event).Session
		return s == nil || clause == aboutFirstPath || s.inSeveralFiles()
	}
}

// inSeveralFiles reports whether the paths of a session were not all captured in one file.
func (s *Session) inSeveralFiles() bool {
	return slices.ContainsFunc(s.paths, func(p *Path) bool { return p.file != s.paths[0].file })
}

// inAnotherFile reports whether the permit was in use on a path that was captured by another clock.
func (r *Request) inAnotherFile(e *Event) bool {
	return e.Apart && r.onOtherPath() && r.rival.build.path.file != r.Path().file
}

// breaksUnlessLost blames unless something was missed, as [audit.Ruling.BreaksUnlessMissed] does, where it is right that the path is
// lost: the suspicion is dropped if one of the paths is closed before all of the streams have gone on.
func breaksUnlessLost(r *audit.Ruling, paths []*build, streams []audit.Stream, since uint64, format string, args ...any) {
	s := r.Suspect(streams, since, format, args...)
	for _, b := range paths {
		b.suspicions = slices.DeleteFunc(b.suspicions, (*audit.Suspicion).Settled)
		if !s.Settled() && len(b.suspicions) < audit.MaxWatchers {
			b.suspicions = append(b.suspicions, s)
		}
	}
}
