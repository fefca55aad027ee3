// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Judge decides clauses from the events of a tracker. It only ever blames a side for what the capture proves: where
// frames are missing it says that it does not know.
type Judge struct {
	config    Configuration
	rules     [kinds][]*bench
	benches   []*bench
	catalogue *clauses.Catalogue
	start     time.Time
	end       time.Time
	ruling    Ruling
	memory    memories
}

// bench is one rule at work: what it found so far, for each side that it judges.
type bench struct {
	rule   Rule
	clause clauses.Clause
	sides  [3]tally
}

// tally is what was found of one side.
type tally struct {
	held     uint64
	heldAt   []FrameID // the first proof
	broken   uint64
	breaks   []Violation // the first of them
	open     int         // suspicions that wait
	unsure   uint64
	unsureAt string // the first of them
	unsureIn []FrameID

	timeless   uint64 // times that it depends on a time which the capture does not tell
	timelessAt string // the first of them
	timelessIn []FrameID

	orderless   uint64 // times that it depends on what came first in files with different clocks
	orderlessAt string // the first of them
	orderlessIn []FrameID
}

// Violation is one proof that a clause was broken.
type Violation struct {
	Text   string
	At     time.Time
	Frames []FrameID
}

// keptViolations is how many proofs are kept for each clause and side; all are counted.
const keptViolations = 16

// NewJudge makes a judge with all rules.
func NewJudge(catalogue *clauses.Catalogue, config Configuration) (*Judge, error) {
	j := &Judge{config: config, catalogue: catalogue, memory: newMemories()}
	for _, rule := range Rules() {
		clause, known := catalogue.Get(rule.Clause)
		if !known {
			return nil, fmt.Errorf("audit: rule for clause %s, which is not in the catalogue", rule.Clause)
		}
		b := &bench{rule: rule, clause: clause}
		j.benches = append(j.benches, b)
		for _, kind := range rule.On {
			j.rules[kind] = append(j.rules[kind], b)
		}
	}
	return j, nil
}

// Observe takes one event of a tracker.
func (j *Judge) Observe(e *Event) {
	if j.start.IsZero() {
		j.start = e.At
	}
	if e.At.After(j.end) {
		j.end = e.At
	}
	r := &j.ruling
	r.judge, r.event = j, e
	for _, b := range j.rules[e.Kind] {
		if e.Connection != nil && e.Connection.Uncertain() {
			continue
		}
		r.bench = b
		b.rule.Check(e, r)
	}
	j.memory.after(e)
}

// Ruling is what a rule says of an event.
type Ruling struct {
	judge *Judge
	bench *bench
	event *Event
}

// Config is what the judge was told.
func (r *Ruling) Config() Configuration { return r.judge.config }

func (r *Ruling) tally() *tally { return r.tallyOf(r.event.From) }

// tallyOf returns the tally of the side that the clause judges; actor is the one whose deed it is.
func (r *Ruling) tallyOf(actor Side) *tally {
	switch r.bench.clause.Role {
	case clauses.Initiator:
		actor = Initiator
	case clauses.Target:
		actor = Target
	case clauses.Wire:
		actor = Nobody
	}
	return &r.bench.sides[actor]
}

// Holds says that the clause was tried and kept.
func (r *Ruling) Holds() { r.holds(r.tally()) }

func (r *Ruling) holds(t *tally) {
	t.held++
	if t.heldAt == nil {
		t.heldAt = r.event.Frames()
	}
}

// Kept says that the clause was kept if ok. Otherwise its caller says how it was broken; what that takes is not made for
// every event.
func (r *Ruling) Kept(ok bool) bool {
	if ok {
		r.Holds()
	}
	return ok
}

// Breaks says that the clause was broken, and how.
func (r *Ruling) Breaks(format string, args ...any) {
	if r.isAcross() {
		r.unsureOfOrder(format, args...)
		return
	}
	r.tally().add(r.violation(format, args...))
}

func (r *Ruling) violation(format string, args ...any) Violation {
	text := fmt.Sprintf(format, args...)
	return Violation{Text: place(r.event) + text, At: r.event.At, Frames: r.event.Frames()}
}

func (t *tally) add(v Violation) {
	t.broken++
	if len(t.breaks) < keptViolations {
		t.breaks = append(t.breaks, v)
	}
}

// Unsure says that the clause was tried, and that missing frames hide how it went.
func (r *Ruling) Unsure(format string, args ...any) {
	t := r.tally()
	t.unsure++
	if t.unsureAt == "" {
		t.unsureAt, t.unsureIn = place(r.event)+fmt.Sprintf(format, args...), r.event.Frames()
	}
}

// stream is what packets come in: a direction of a queue pair, or the datagrams of connection management.
type stream interface {
	watch(w watcher) bool
	cleanSince(seq uint64) bool
}

// always is the frame before the first: everything that was ever sent must have been seen.
const always = 1

// BreaksUnlessMissed says that the clause was broken unless a frame of one of the streams was missed, from frame since up
// to now. It is settled when each stream goes on: in order, nothing was missed; with a gap, nobody knows.
func (r *Ruling) BreaksUnlessMissed(streams []stream, since uint64, format string, args ...any) {
	r.suspect(streams, since, format, args...)
}

// BreaksUnlessLost is the same for what is right when a path is lost: the suspicion is dropped if one of the paths is closed
// before all of the streams have gone on.
func (r *Ruling) BreaksUnlessLost(paths []*build, streams []stream, since uint64, format string, args ...any) {
	s := r.suspect(streams, since, format, args...)
	for _, b := range paths {
		b.suspicions = slices.DeleteFunc(b.suspicions, func(s *suspicion) bool { return s.settled })
		if !s.settled && len(b.suspicions) < maxWatchers {
			b.suspicions = append(b.suspicions, s)
		}
	}
}

// BreaksIfHeard says that the clause was broken if one of the streams goes on: only then is who sent it still there.
func (r *Ruling) BreaksIfHeard(streams []*Flow, format string, args ...any) {
	if r.isAcross() {
		r.unsureOfOrder(format, args...)
		return
	}
	s := &alibi{tally: r.tally(), violation: r.violation(format, args...)}
	for _, stream := range streams {
		stream.watch(s)
	}
}

// alibi holds as long as nothing more is heard.
type alibi struct {
	tally     *tally
	violation Violation
	settled   bool
}

func (a *alibi) inOrder(*Flow) {
	if !a.settled {
		a.settled = true
		a.tally.add(a.violation)
	}
}

func (a *alibi) gap(*Flow) { a.settled = true } // what was missed may be older

func (r *Ruling) suspect(streams []stream, since uint64, format string, args ...any) *suspicion {
	if r.isAcross() {
		r.unsureOfOrder(format, args...)
		return &suspicion{settled: true}
	}
	s := &suspicion{tally: r.tally(), violation: r.violation(format, args...)}
	for _, stream := range streams {
		if !stream.cleanSince(since) || !stream.watch(s) {
			s.doubt = true
			break
		}
		s.waiting++
	}
	s.tally.open++
	if s.doubt || s.waiting == 0 {
		s.settle()
	}
	return s
}

// suspicion waits for the streams to go on.
type suspicion struct {
	tally     *tally
	violation Violation
	waiting   int
	doubt     bool
	settled   bool
}

func (s *suspicion) inOrder(*Flow) {
	if s.waiting--; s.waiting == 0 {
		s.settle()
	}
}

func (s *suspicion) gap(*Flow) {
	s.doubt = true
	s.settle()
}

func (s *suspicion) settle() {
	if s.settled {
		return
	}
	s.settled = true
	s.tally.open--
	if !s.doubt {
		s.tally.add(s.violation)
		return
	}
	s.tally.unsure++
	if s.tally.unsureAt == "" {
		s.tally.unsureAt, s.tally.unsureIn = s.violation.Text, s.violation.Frames
	}
}

// dismiss drops the suspicion: there is another explanation.
func (s *suspicion) dismiss() {
	if !s.settled {
		s.settled = true
		s.tally.open--
	}
}

// place says where an event was, for messages.
func place(e *Event) string {
	switch {
	case e.Session != nil && e.Path != nil && e.Connection != nil && e.Connection.cid >= 0:
		return fmt.Sprintf("session %s, path %s, connection %d: ", e.Session, e.Path, e.Connection.cid)
	case e.Session != nil && e.Path != nil:
		return fmt.Sprintf("session %s, path %s: ", e.Session, e.Path)
	case e.Connection != nil:
		return e.Connection.String() + ": "
	}
	return ""
}

// Finding is what the judge found of one clause and side.
type Finding struct {
	Clause     clauses.Clause
	Role       clauses.Role // whom it is about; "" for both sides together
	Verdict    verdict.Verdict
	Reason     verdict.Reason
	Held       uint64 // times that it was tried and kept
	Broken     uint64
	Violations []Violation // the first of them
	Message    string
	Frames     []FrameID // of the proof
}

// Findings gives what was found so far, a finding for each clause and side that it judges, in the order of the catalogue.
func (j *Judge) Findings() []Finding {
	byClause := make(map[string]*bench)
	for _, b := range j.benches {
		byClause[b.clause.ID] = b
	}
	var findings []Finding
	for _, clause := range j.catalogue.All() {
		if b := byClause[clause.ID]; b != nil {
			findings = append(findings, b.findings()...)
		}
	}
	return findings
}

func (b *bench) findings() []Finding {
	var findings []Finding
	for _, side := range sidesOf(b.clause.Role) {
		findings = append(findings, b.sides[side].finding(b.clause, side.Role()))
	}
	return findings
}

func sidesOf(role clauses.Role) []Side {
	switch role {
	case clauses.Initiator:
		return []Side{Initiator}
	case clauses.Target:
		return []Side{Target}
	case clauses.Both:
		return []Side{Initiator, Target}
	}
	return []Side{Nobody}
}

func (t *tally) finding(clause clauses.Clause, role clauses.Role) Finding {
	f := Finding{Clause: clause, Role: role, Held: t.held, Broken: t.broken, Violations: t.breaks}
	switch {
	case t.broken > 0:
		f.Verdict, f.Reason = verdict.Fail, verdict.ProtocolViolation
		f.Message = t.breaks[0].Text
		if t.broken > 1 {
			f.Message += fmt.Sprintf(" (and %d times more)", t.broken-1)
		}
		for _, v := range t.breaks {
			f.Frames = append(f.Frames, v.Frames...)
		}
	case t.open > 0 || t.unsure > 0 && t.held == 0:
		f.Verdict, f.Reason, f.Frames = verdict.Inconclusive, verdict.CaptureGap, t.unsureIn
		f.Message = "cannot be decided because frames may be missing"
		if t.unsureAt != "" {
			f.Message += ": " + t.unsureAt
		}
	case t.orderless > 0 || t.timeless > 0 && t.held == 0:
		t.clockFinding(&f)
	case t.held > 0:
		f.Verdict, f.Frames = verdict.Pass, t.heldAt
		f.Message = fmt.Sprintf("seen %d times", t.held)
	default:
		f.Verdict, f.Reason = verdict.Skip, verdict.NotSeen
		f.Message = verdict.NotSeen.Meaning()
	}
	return f
}

// SpecName is the name under which the judge's results stand beside those of specs.
const SpecName = "passive judge of captures"

// Results gives the findings as results of a run. files maps a rail to its capture file, for the evidence; it may be nil.
func (j *Judge) Results(files map[string]string) []verdict.Result {
	var results []verdict.Result
	for _, f := range j.Findings() {
		results = append(results, verdict.Result{
			Clause: f.Clause.ID, Spec: SpecName, Role: f.Role, Verdict: f.Verdict, Reason: f.Reason, Message: f.Message,
			Start: j.start, Duration: max(0, j.end.Sub(j.start)), Evidence: evidence(f.Frames, files),
		})
	}
	return results
}

// evidence lists the frames of a proof by file.
func evidence(frames []FrameID, files map[string]string) []verdict.Evidence {
	var list []verdict.Evidence
	at := make(map[string]int)
	for _, frame := range frames {
		file, known := files[frame.Rail]
		if !known {
			file = frame.Rail
		}
		i, seen := at[file]
		if !seen {
			i = len(list)
			at[file] = i
			list = append(list, verdict.Evidence{Kind: verdict.Packets, Path: file})
		}
		list[i].Frames = append(list[i].Frames, int(frame.Number))
	}
	return list
}
