// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Judge decides clauses from the events of a tracker. It only ever blames a side for what the capture proves: where
// frames are missing it says that it does not know.
type Judge struct {
	config Configuration
	parts  []*part
	start  time.Time
	end    time.Time
	ruling Ruling
}

// part are the rules of one protocol, which see its events only.
type part struct {
	protocol *Protocol
	rules    map[Kind][]*bench
	benches  map[string]*bench // by clause
	memory   Memory
}

// bench is one rule at work: what it found so far, for each side that it judges.
type bench struct {
	rule   Rule
	clause clauses.Clause
	memory Memory
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

// NewJudge makes a judge with all rules of protocols.
func NewJudge(protocols []*Protocol, config Configuration) (*Judge, error) {
	j := &Judge{config: config}
	for _, protocol := range protocols {
		p := &part{protocol: protocol, rules: make(map[Kind][]*bench), benches: make(map[string]*bench)}
		if protocol.NewMemory != nil {
			p.memory = protocol.NewMemory()
		}
		if err := j.add(p); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// add has the rules of a protocol judge, too.
func (j *Judge) add(p *part) error {
	j.parts = append(j.parts, p)
	catalogue := p.protocol.Catalogue()
	for _, rule := range p.protocol.Rules {
		clause, known := catalogue.Get(rule.Clause)
		if !known {
			return fmt.Errorf("audit: rule for clause %s, which is not in the catalogue", rule.Clause)
		}
		b := &bench{rule: rule, clause: clause, memory: p.memory}
		p.benches[rule.Clause] = b
		for _, kind := range rule.On {
			p.rules[kind] = append(p.rules[kind], b)
		}
	}
	return nil
}

// Observe takes one event of a tracker.
func (j *Judge) Observe(e *Event) {
	if j.start.IsZero() {
		j.start = e.At
	}
	if e.At.After(j.end) {
		j.end = e.At
	}
	for _, p := range j.parts {
		if p.protocol == e.Protocol {
			j.see(p, e)
		}
	}
}

func (j *Judge) see(p *part, e *Event) {
	r := &j.ruling
	r.judge, r.event = j, e
	for _, b := range p.rules[e.Kind] {
		if e.Connection != nil && e.Connection.Uncertain() {
			continue
		}
		r.bench = b
		b.rule.Check(e, r)
	}
	if p.memory != nil {
		p.memory.After(e)
	}
}

// Ruling is what a rule says of an event.
type Ruling struct {
	judge *Judge
	bench *bench
	event *Event
}

// Memory is what the rules of the event's protocol remember.
func (r *Ruling) Memory() Memory { return r.bench.memory }

// Config is what the judge was told.
func (r *Ruling) Config() Configuration { return r.judge.config }

func (r *Ruling) tally() *tally { return r.tallyOf(r.event.From) }

// tallyOf returns the tally of the side that the clause judges; actor is the one who has acted.
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

// HoldsFor says that the clause was tried and kept by a side other than the one whose event it is.
func (r *Ruling) HoldsFor(side Side) { r.holds(r.tallyOf(side)) }

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
		r.UnsureOfOrder(format, args...)
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

// Always is the frame before the first: everything that was ever sent must have been seen.
const Always = 1

// BreaksUnlessMissed says that the clause was broken unless a frame of one of the streams was missed, from frame since up
// to now. It is settled when each stream goes on: in order, nothing was missed; with a gap, nobody knows.
func (r *Ruling) BreaksUnlessMissed(streams []Stream, since uint64, format string, args ...any) {
	r.Suspect(streams, since, format, args...)
}

// BreaksIfClean blames if no datagram of the event's sender was missed since a frame.
func (r *Ruling) BreaksIfClean(since uint64, format string, args ...any) {
	if r.event.Manager.CleanSince(since) {
		r.Breaks(format, args...)
		return
	}
	r.Unsure(format, args...)
}

// BreaksIfSawAll blames if every datagram that the sender ever sent was seen.
func (r *Ruling) BreaksIfSawAll(format string, args ...any) {
	if r.event.Manager.SawAll() {
		r.Breaks(format, args...)
		return
	}
	r.Unsure(format, args...)
}

// BreaksIfHeard says that the clause was broken if one of the streams goes on: only then is who sent it still there.
func (r *Ruling) BreaksIfHeard(streams []*Flow, format string, args ...any) {
	if r.isAcross() {
		r.UnsureOfOrder(format, args...)
		return
	}
	s := &absence{Accusation: r.Accuse(r.event.From, format, args...)}
	for _, stream := range streams {
		stream.Watch(s)
	}
}

// absence holds as long as nothing more is heard.
type absence struct {
	*Accusation
	settled bool
}

// InOrder confirms the accusation.
func (a *absence) InOrder() {
	if !a.settled {
		a.settled = true
		a.Confirm()
	}
}

// Gap drops the accusation: what was missed may be older.
func (a *absence) Gap() { a.settled = true }

// Accusation is a violation that is counted only if it is confirmed.
type Accusation struct {
	tally     *tally
	violation Violation
}

// Accuse prepares to blame a side.
func (r *Ruling) Accuse(side Side, format string, args ...any) *Accusation {
	return &Accusation{r.tallyOf(side), r.violation(format, args...)}
}

// Confirm blames. It must be called once at most.
func (a *Accusation) Confirm() { a.tally.add(a.violation) }

// Suspect is [Ruling.BreaksUnlessMissed] with a suspicion that may be dropped.
func (r *Ruling) Suspect(streams []Stream, since uint64, format string, args ...any) *Suspicion {
	if r.isAcross() {
		r.UnsureOfOrder(format, args...)
		return &Suspicion{settled: true}
	}
	return r.SuspectSide(r.event.From, streams, since, format, args...)
}

// SuspectSide is the same with a side other than the one whose event it is.
func (r *Ruling) SuspectSide(side Side, streams []Stream, since uint64, format string, args ...any) *Suspicion {
	s := &Suspicion{Accusation: r.Accuse(side, format, args...)}
	for _, stream := range streams {
		if !stream.CleanSince(since) || !stream.Watch(s) {
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

// Suspicion waits for the streams to go on.
type Suspicion struct {
	*Accusation
	waiting int
	doubt   bool
	settled bool
}

// Settled reports whether it waits no more.
func (s *Suspicion) Settled() bool { return s.settled }

// WaitFor has the suspicion wait for one thing more, of which its caller will tell by InOrder or Gap.
func (s *Suspicion) WaitFor() { s.waiting++ }

// InOrder says that something came in order.
func (s *Suspicion) InOrder() {
	if s.waiting--; s.waiting == 0 {
		s.settle()
	}
}

// Gap says that something was missed.
func (s *Suspicion) Gap() {
	s.doubt = true
	s.settle()
}

func (s *Suspicion) settle() {
	if s.settled {
		return
	}
	s.settled = true
	s.tally.open--
	if !s.doubt {
		s.Confirm()
		return
	}
	s.tally.unsure++
	if s.tally.unsureAt == "" {
		s.tally.unsureAt, s.tally.unsureIn = s.violation.Text, s.violation.Frames
	}
}

// Dismiss drops the suspicion: there is another explanation.
func (s *Suspicion) Dismiss() {
	if !s.settled {
		s.settled = true
		s.tally.open--
	}
}

// place says where an event was, for messages.
func place(e *Event) string {
	switch {
	case e.Detail != nil && e.Detail.SessionName() != "":
		return e.Detail.Place() + ": "
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

// Findings gives what was found so far, a finding for each clause and side that it judges, in the order of the protocols and their
// catalogues.
func (j *Judge) Findings() []Finding {
	var findings []Finding
	for _, p := range j.parts {
		for _, clause := range p.protocol.Catalogue().All() {
			if b := p.benches[clause.ID]; b != nil {
				findings = append(findings, b.findings()...)
			}
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
