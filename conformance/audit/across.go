// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// acrossPaths are the clauses that depend on what comes first on which path of a session or nexus. Where paths were captured by
// clocks of their own, nobody is blamed by them. (Permits that are used on two paths are looked at by their rules themselves.)
var acrossPaths = map[string]bool{
	"IBTRS-CONN-013": true, "IBTRS-CONN-028": true, "IBTRS-CONN-049": true, "IBTRS-INFO-013": true, "IBTRS-IMM-003": true,
	"IBTRS-PATH-012": true, "IBTRS-MP-002": true, "IBTRS-MP-003": true, "IBTRS-MP-004": true,
	"IBNBD-MSG-001": true, "IBNBD-FAIL-002": true, "IBNBD-OPEN-014": true, "IBNBD-OPEN-020": true,
	"IBNBD-SYSFS-035": true, "IBNBD-SYSFS-036": true,
	"SRP-CH-001": true, "SRP-CH-002": true, "SRP-LOGIN-028": true, "SRP-RECON-004": true, "SRP-RECON-005": true, "SRP-RECON-028": true,
}

// isAcross reports whether a violation of the clause may be one of the clocks.
func (r *Ruling) isAcross() bool {
	const aboutFirstPath = "IBTRS-CONN-013" // another may have come before it
	e, id := r.event, r.bench.clause.ID
	return e.apart && acrossPaths[id] && (e.Session == nil || id == aboutFirstPath || e.Session.inSeveralFiles())
}

// inSeveralFiles reports whether the paths of a session were not all captured in one file.
func (s *Session) inSeveralFiles() bool {
	return slices.ContainsFunc(s.paths, func(p *Path) bool { return p.file != s.paths[0].file })
}

// inAnotherFile reports whether the permit was in use on a path that was captured by another clock.
func (r *Request) inAnotherFile(e *Event) bool {
	return e.apart && r.onOtherPath() && r.rival.build.path.file != r.Path().file
}

// unsureOfOrder says that the clause was tried, and that clocks which are apart hide what came first.
func (r *Ruling) unsureOfOrder(format string, args ...any) {
	t := r.tally()
	if t.orderless++; t.orderless == 1 {
		v := r.violation(format, args...)
		t.orderlessAt, t.orderlessIn = v.Text, v.Frames
	}
}

// clockFinding says that a clause cannot be decided by the clocks of the capture.
func (t *tally) clockFinding(f *Finding) {
	f.Verdict = verdict.Inconclusive
	if t.orderless > 0 {
		f.Reason, f.Frames = verdict.ClocksApart, t.orderlessIn
		f.Message = "cannot be decided because the files have different clocks: " + t.orderlessAt
		return
	}
	f.Reason, f.Frames = verdict.NoClock, t.timelessIn
	f.Message = "cannot be decided because the capture does not tell how much time passed: " + t.timelessAt
}
