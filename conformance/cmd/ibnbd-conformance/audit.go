// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/version"
)

const auditHelp = `Read captures of RDMA block storage (pcap, pcapng or snoop, compressed or not; "-" is the standard input) and tell
what happened: what was read and written, how long it took, and which clauses the packets show to be kept or broken. Packets
are found in VLANs, MPLS, GRE, ERSPAN, VXLAN and Geneve, and in RoCEv1 and InfiniBand frames.

Several files are the rails of one run and are judged together; they may come from several machines. How far clocks are apart,
and when one was set, is found out from cause and effect, told, and taken out of the times. What was captured twice counts once.
Nothing but the files is needed: the target and the initiator may be anybody's.`

const auditExamples = `  ibnbd-conformance audit rail0.pcap rail1.pcap
  ibnbd-conformance audit --timeline --session blya capture.pcapng
  ibnbd-conformance audit --timeline --from 1.5s --to 2s capture.pcap
  ibnbd-conformance audit --role target build/report/evidence/attack-by-*/rail0.pcapng
  tcpdump -i eth0 -w - udp port 4791 | ibnbd-conformance audit --timeline -`

// auditFlags are the flags of the command, as the user wrote them.
type auditFlags struct {
	timeline, all, asJSON, own bool
	noICRC, oneClock           bool
	session, from, to          string
	role                       string
	dialect, policy            string
	reconnectDelay             time.Duration
	reconnectAttempts          int
	targetBeat, initiatorBeat  time.Duration
	misses                     int
}

func newAudit(a *app) *cobra.Command {
	var flags auditFlags
	cmd := &cobra.Command{
		Use: "audit FILE...", Short: "Judge captures: timeline, statistics and clauses", Long: auditHelp + "\n\n" + exitCodeHelp(),
		Example: auditExamples,
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) == 0 {
				return usagef("'%s' takes at least one capture file; see '%s --help'", cmd.CommandPath(), cmd.CommandPath())
			}
			return a.audit(cmd, flags, files)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.timeline, "timeline", false, "write what happened, line by line")
	f.StringVar(&flags.session, "session", "", "only the session of this name, in the timeline")
	f.BoolVar(&flags.noICRC, "no-icrc", false, "judge packets whose invariant CRC is wrong as well: for captures whose addresses were rewritten")
	f.BoolVar(&flags.oneClock, "one-clock", false, "one clock has written all files: believe what came first in which")
	f.StringVar(&flags.from, "from", "", "begin of the timeline: time since the first frame (1.5s), or of the day as in the timeline (15:04:05.999), or as in 2006-01-02T15:04:05.999Z")
	f.StringVar(&flags.to, "to", "", "end of the timeline, in the same form")
	f.StringVar(&flags.role, "role", "", "judge this side alone: target, initiator; as where the other one breaks rules on purpose")
	f.BoolVar(&flags.all, "all", false, "list also the clauses that the captures do not speak of")
	f.BoolVar(&flags.asJSON, "json", false, "write one JSON object")
	f.BoolVar(&flags.own, "own", false, "both sides are implementations of this project: its own rules bind as well")
	f.StringVar(&flags.dialect, "dialect", string(conformance.RNBD), "family of names of IBTRS peers: ibnbd, rnbd")
	f.StringVar(&flags.policy, "policy", "", "configured multipath policy: round-robin, min-inflight, min-latency")
	f.DurationVar(&flags.reconnectDelay, "reconnect-delay", 0, "configured delay of reconnects, if nobody reconnected by hand")
	f.DurationVar(&flags.targetBeat, "target-heartbeat", 0, "configured heartbeat interval of the target, 5s if it is not given")
	f.DurationVar(&flags.initiatorBeat, "initiator-heartbeat", 0, "the same of the initiator")
	f.IntVar(&flags.misses, "heartbeat-misses", 0, "configured number of heartbeats that may be missed, 5 if it is not given")
	f.IntVar(&flags.reconnectAttempts, "reconnect-attempts", -1, "configured number of reconnect attempts, -1 without end")
	return cmd
}

// auditRun is one run of the command.
type auditRun struct {
	flags    auditFlags
	out      io.Writer
	from, to bound
	start    time.Time
	lines    int
	failed   error // first error of writing
}

func (a *app) audit(cmd *cobra.Command, flags auditFlags, files []string) error {
	run := &auditRun{flags: flags, out: cmd.OutOrStdout()}
	config, err := run.configure()
	if err != nil {
		return err
	}
	protocols := protocol.Judges(conformance.Protocols())
	source, err := audit.Files{Names: files, OneClock: flags.oneClock, Protocols: protocols}.Open(cmd.Context())
	switch {
	case cmd.Context().Err() != nil && err != nil:
		return environmentf("%w", err)
	case err != nil:
		return usagef("%w", err)
	}
	defer source.Close()
	if flags.asJSON {
		run.print("{\n")
	}
	request := audit.Audit{Configuration: config, Tracker: audit.Options{Protocols: protocols, SkipICRC: flags.noICRC}}
	if flags.timeline {
		run.openTimeline()
		request.Observe = run.observe
	}
	report, err := request.Run(cmd.Context(), source)
	if flags.timeline {
		run.closeTimeline()
	}
	if report == nil {
		return environmentf("%w", err)
	}
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "ibnbd-conformance: %v\n", err)
	}
	return run.finish(a, report, files, err)
}

// configure checks the flags.
func (r *auditRun) configure() (audit.Configuration, error) {
	config := audit.Configuration{
		ReconnectDelay: r.flags.reconnectDelay, Policy: audit.Policy(r.flags.policy),
		TargetHeartbeats:    audit.Heartbeats{Interval: r.flags.targetBeat, Misses: r.flags.misses},
		InitiatorHeartbeats: audit.Heartbeats{Interval: r.flags.initiatorBeat, Misses: r.flags.misses},
	}
	for flag, interval := range map[string]time.Duration{"target": r.flags.targetBeat, "initiator": r.flags.initiatorBeat} {
		if interval < 0 {
			return config, usagef("--%s-heartbeat %s is negative", flag, interval)
		}
	}
	switch config.Policy {
	case audit.PolicyUnknown, audit.RoundRobin, audit.MinInflight, audit.MinLatency:
	default:
		return config, usagef("--policy %q is not one of round-robin, min-inflight, min-latency", r.flags.policy)
	}
	switch clauses.Role(r.flags.role) {
	case "", clauses.Target, clauses.Initiator:
	default:
		return config, usagef("--role %q is not one of target, initiator", r.flags.role)
	}
	switch clauses.Dialect(r.flags.dialect) {
	case conformance.IBNBD, conformance.RNBD:
	default:
		return config, usagef("--dialect %q is not one of ibnbd, rnbd", r.flags.dialect)
	}
	if err := within("reconnect-delay", r.flags.reconnectDelay, 0, 24*time.Hour); err != nil {
		return config, err
	}
	if err := within("reconnect-attempts", r.flags.reconnectAttempts, -1, 9999); err != nil {
		return config, err
	}
	if r.flags.reconnectAttempts >= 0 {
		config.ReconnectAttempts = &r.flags.reconnectAttempts
	}
	var errFrom, errTo error
	r.from, errFrom = parseBound("--from", r.flags.from)
	r.to, errTo = parseBound("--to", r.flags.to)
	return config, cmp.Or(errFrom, errTo, r.flags.checkTimeline()) // one line, as of every wrong usage
}

// checkTimeline refuses what chooses lines of a timeline that is not written.
func (f auditFlags) checkTimeline() error {
	if f.timeline {
		return nil
	}
	for _, chosen := range []struct{ flag, value string }{{"--session", f.session}, {"--from", f.from}, {"--to", f.to}} {
		if chosen.value != "" {
			return usagef("%s %q chooses lines of the timeline, and none is asked for: add --timeline", chosen.flag, chosen.value)
		}
	}
	return nil
}

// bound is one end of the timeline.
type bound struct {
	set   bool
	since time.Duration // after the first frame
	at    time.Time     // or this time
	daily bool          // or, if this is set, clock: a time of the day in UTC, as lines of the timeline begin
	clock time.Duration // since midnight
}

func parseBound(flag, text string) (bound, error) {
	if text == "" {
		return bound{}, nil
	}
	if since, err := time.ParseDuration(text); err == nil {
		return bound{set: true, since: since}, nil
	}
	if clock, err := time.Parse("15:04:05.999999999", text); err == nil {
		return bound{set: true, daily: true, clock: clock.Sub(clock.Truncate(24 * time.Hour))}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return bound{}, usagef("%s %q is neither a time since the first frame, like 1.5s, nor one of the day as in the timeline, like 15:04:05.999, nor one like 2006-01-02T15:04:05.999Z", flag, text)
	}
	return bound{set: true, at: at}, nil
}

// time gives the bound as a time in a capture that starts at start. A time of the day is that of the first day, or of the next one if
// it is earlier than the start by more than half a day.
func (b bound) time(start time.Time) time.Time {
	switch {
	case !b.at.IsZero():
		return b.at
	case !b.daily:
		return start.Add(b.since)
	}
	at := start.UTC().Truncate(24 * time.Hour).Add(b.clock)
	if start.Sub(at) > 12*time.Hour {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

func (r *auditRun) print(format string, args ...any) {
	if _, err := fmt.Fprintf(r.out, format, args...); err != nil && r.failed == nil {
		r.failed = err
	}
}

func (r *auditRun) openTimeline() {
	if r.flags.asJSON {
		r.print(`"timeline": [`)
	}
}

func (r *auditRun) closeTimeline() {
	if r.flags.asJSON {
		r.print("\n],\n")
	} else {
		r.print("\n")
	}
}

// observe writes one line of the timeline.
func (r *auditRun) observe(e *audit.Event) {
	if r.start.IsZero() {
		r.start = e.At
	}
	if !e.Storage() || !r.wanted(e) {
		return
	}
	if !r.flags.asJSON {
		r.print("%s\n", e.Line())
		return
	}
	line, err := json.Marshal(timelineLine(e))
	if err != nil {
		r.failed = err
		return
	}
	if r.lines++; r.lines > 1 {
		r.print(",")
	}
	r.print("\n%s", line)
}

func (r *auditRun) wanted(e *audit.Event) bool {
	switch {
	case r.flags.session != "" && (e.Detail == nil || e.Detail.SessionName() != r.flags.session):
		return false
	case r.from.set && e.At.Before(r.from.time(r.start)):
		return false
	case r.to.set && e.At.After(r.to.time(r.start)):
		return false
	}
	return true
}

// eventLine is an event in JSON.
type eventLine struct {
	At      time.Time       `json:"at,omitzero"` // not there if the capture does not tell
	Kind    string          `json:"kind"`
	From    string          `json:"from,omitempty"`
	Session string          `json:"session,omitempty"`
	Path    string          `json:"path,omitempty"`
	Text    string          `json:"text"`
	Frames  []audit.FrameID `json:"frames"`
}

func timelineLine(e *audit.Event) eventLine {
	line := eventLine{At: e.At, Kind: e.Kind.String(), From: string(e.From.Role()), Text: e.String(), Frames: e.Frames()}
	if e.Untimed {
		line.At = time.Time{}
	}
	if e.Detail != nil {
		line.Session, line.Path = e.Detail.SessionName(), e.Detail.PathName()
	}
	return line
}

// finish writes the rest and settles the exit code.
func (r *auditRun) finish(a *app, report *audit.Report, files []string, readErr error) error {
	exit, err := exitOf(a.catalogue, report, r.flags)
	if err != nil {
		return environmentf("%w", err)
	}
	if r.flags.asJSON {
		r.writeJSON(report, exit)
	} else {
		r.writeTables(report, exit)
	}
	switch {
	case r.failed != nil:
		return environmentf("write report: %w", r.failed)
	case errors.Is(readErr, context.Canceled) || errors.Is(readErr, context.DeadlineExceeded):
		return exitWith(verdict.ExitEnvironment)
	case readErr == nil || errors.Is(readErr, audit.ErrCutOff) && !errors.Is(readErr, audit.ErrFormat) || exit.Code == verdict.ExitFails:
		return exitWith(exit.Code)
	case errors.Is(readErr, audit.ErrFormat):
		return exitWith(verdict.ExitUsage)
	}
	return exitWith(verdict.ExitEnvironment)
}

// exitOf judges the findings as a run of foreign implementations in both roles.
func exitOf(catalogue *clauses.Catalogue, report *audit.Report, flags auditFlags) (verdict.Exit, error) {
	exit, err := judgeReport(catalogue, report, flags)
	if exit.Code != verdict.ExitNothingRan && exit.Code != verdict.ExitInconclusive {
		return exit, err
	}
	if cut := report.Counters.Truncated + report.Counters.Cut; cut > 0 {
		exit.Sentence += fmt.Sprintf("; %d frames are cut by the snap length: capture whole frames", cut)
	}
	if slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Reason == verdict.ClocksApart }) {
		exit.Sentence += "; the files are taken to have different clocks: --one-clock says that they have one"
	}
	if report.Counters.AllCorrupted() {
		exit.Sentence += "; every ICRC is wrong, as when addresses are rewritten behind the capture: --no-icrc judges the packets all the same"
	}
	return exit, err
}

// remarks are sentences about the capture itself.
func remarks(report *audit.Report) []string {
	var list []string
	if c := report.Counters; c.Corrupted > 0 && !c.AllCorrupted() {
		list = append(list, fmt.Sprintf("%d of %d packets have a wrong ICRC and are left out: damaged on their way or, if they are many, rewritten "+
			"behind the capture; --no-icrc judges them as well", c.Corrupted, c.RoCE))
	}
	if n := report.Counters.Long; n > 0 {
		list = append(list, fmt.Sprintf("%d records are longer than the snap length of their file and are read as they are", n))
	}
	if n := report.Counters.Untimed; n > 0 {
		list = append(list, fmt.Sprintf("%d frames have no time: what depends on it is not decided", n))
	}
	if n := report.Counters.Unverified; n > 0 {
		list = append(list, fmt.Sprintf("no ICRC of RoCEv1 is right, %d packets are judged without", n))
	}
	for _, c := range report.Clocks {
		list = append(list, fmt.Sprintf("%v; that is taken out", c))
	}
	for _, w := range report.Contents.Wrapped {
		list = append(list, fmt.Sprintf("%d packets in %s", w.Count, w.What))
	}
	if there := report.Contents.Sentence(); there != "" && !slices.ContainsFunc(report.Protocols, func(p audit.Seen) bool { return p.Seen }) && !report.Counters.AllCorrupted() {
		list = append(list, "no storage connection begins in the capture; it has "+there)
	}
	return list
}

func judgeReport(catalogue *clauses.Catalogue, report *audit.Report, flags auditFlags) (verdict.Exit, error) {
	if report.Counters.RoCE == 0 {
		return verdict.Exit{Code: verdict.ExitNothingRan, Sentence: fmt.Sprintf("no RoCEv2 packet among %d frames", report.Counters.Frames)}, nil
	}
	header := verdict.Header{
		Tool: version.String(), Edition: clauses.Edition, Command: os.Args, Start: report.Start, Selection: "audit",
	}
	for _, dialect := range dialectsOf(report, clauses.Dialect(flags.dialect)) {
		for _, role := range flags.roles() {
			subject := clauses.Subject{Role: role, Dialect: dialect, Own: flags.own}
			header.Subjects = append(header.Subjects, verdict.Subject{Subject: subject, Name: fmt.Sprintf("%s %s", dialect, role)})
		}
	}
	outcome, err := verdict.Judge(catalogue, verdict.Run{Header: header, Results: flags.ofRole(report.Results(nil)), End: report.End})
	if err != nil {
		return verdict.Exit{}, err
	}
	return outcome.Exit, nil
}

// roles are those that are judged.
func (f auditFlags) roles() []clauses.Role {
	if f.role != "" {
		return []clauses.Role{clauses.Role(f.role)}
	}
	return []clauses.Role{clauses.Target, clauses.Initiator}
}

// speaksOf says whether a finding about a side is asked for; one about both is.
func (f auditFlags) speaksOf(role clauses.Role) bool {
	return f.role == "" || role == "" || role == clauses.Role(f.role)
}

func (f auditFlags) ofRole(results []verdict.Result) []verdict.Result {
	return slices.DeleteFunc(results, func(r verdict.Result) bool { return !f.speaksOf(r.Role) })
}

// dialectsOf are the chosen dialect, and one of each other protocol that was seen.
func dialectsOf(report *audit.Report, chosen clauses.Dialect) []clauses.Dialect {
	var list []clauses.Dialect
	for _, p := range conformance.Protocols() {
		switch {
		case slices.Contains(p.Clauses.Dialects, chosen):
			list = append(list, chosen)
		case p.Judge != nil && report.Has(p.Judge.Name):
			list = append(list, p.Clauses.Dialects[0])
		}
	}
	return list
}

// auditClause is a finding in JSON.
type auditClause struct {
	Clause  string          `json:"clause"`
	Level   clauses.Level   `json:"level"`
	Role    clauses.Role    `json:"role,omitempty"`
	Verdict verdict.Verdict `json:"verdict"`
	Reason  verdict.Reason  `json:"reason,omitempty"`
	Held    uint64          `json:"held"`
	Broken  uint64          `json:"broken"`
	Message string          `json:"message"`
	Frames  []audit.FrameID `json:"frames"`
}

func (r *auditRun) writeJSON(report *audit.Report, exit verdict.Exit) {
	var list []auditClause
	for _, f := range report.Findings {
		if r.shown(f) {
			list = append(list, auditClause{f.Clause.ID, f.Clause.Level, f.Role, f.Verdict, f.Reason, f.Held, f.Broken, f.Message, f.Frames})
		}
	}
	for _, part := range []struct {
		name  string
		value any
	}{{"capture", report}, {"remarks", remarks(report)}, {"clauses", list}, {"exit", exit}} {
		data, err := json.MarshalIndent(part.value, "", "  ")
		if err != nil {
			r.failed = err
			return
		}
		end := ",\n"
		if part.name == "exit" {
			end = "\n}\n"
		}
		r.print("%q: %s%s", part.name, data, end)
	}
}

// shown reports whether a finding belongs into the list of clauses.
func (r *auditRun) shown(f audit.Finding) bool {
	return r.flags.speaksOf(f.Role) && (r.flags.all || f.Verdict != verdict.Skip)
}

func (r *auditRun) writeTables(report *audit.Report, exit verdict.Exit) {
	r.writeCounters(report)
	r.writeStatistics(report.Statistics)
	r.writeClauses(report.Findings)
	r.print("%s\n", exit.Sentence)
}

func (r *auditRun) writeCounters(report *audit.Report) {
	c := report.Counters
	took := "in " + report.End.Sub(report.Start).Round(time.Millisecond).String()
	if c.Untimed > 0 && c.Untimed == c.Frames {
		took = "without times"
	}
	r.print("%d frames %s: %d RoCEv2, %d of other protocols", c.Frames, took, c.RoCE, c.Other)
	for _, n := range []struct {
		count uint64
		what  string
	}{
		{c.Foreign, "foreign or malformed on port 4791"}, {c.Truncated + c.Cut, "cut by the snap length"},
		{c.Corrupted, "with a wrong ICRC"}, {c.UnknownQP, "of connections that began before the capture"},
		{c.Retransmitted, "retransmitted"}, {c.Doubles, "captured more than once"}, {c.Missing, "missing"}, {c.ForgottenOpen + c.ForgottenHalf, "connections forgotten for lack of room"},
	} {
		if n.count > 0 {
			r.print(", %d %s", n.count, n.what)
		}
	}
	r.print("\n")
	for _, remark := range remarks(report) {
		r.print("%s\n", remark)
	}
	r.print("\n")
}

func (r *auditRun) writeStatistics(paths []audit.PathStatistics) {
	if len(paths) == 0 {
		return
	}
	t := table.NewWriter()
	t.AppendHeader(table.Row{"session", "path", "operation", "count", "errors", "bytes", "smallest", "largest"})
	for _, p := range paths {
		for _, op := range p.Operations {
			t.AppendRow(table.Row{p.Session, p.Path, op.Operation, op.Count, op.Errors, op.Bytes, op.Smallest, op.Largest})
		}
	}
	r.print("%s\n\n", t.Render())
	t = table.NewWriter()
	t.AppendHeader(table.Row{"session", "path", "p50", "p90", "p99", "p99.9", "max", "unanswered", "retransmitted", "RNR", "NAK", "gaps"})
	for _, p := range paths {
		l := p.Latency
		if l.Count == 0 {
			t.AppendRow(table.Row{p.Session, p.Path, "", "", "", "", "", p.Unanswered, p.Retransmitted, p.RNRNAKs, p.NAKs, p.Gaps})
			continue
		}
		t.AppendRow(table.Row{p.Session, p.Path, brief(l.P50), brief(l.P90), brief(l.P99), brief(l.P999), brief(l.Max), p.Unanswered, p.Retransmitted, p.RNRNAKs, p.NAKs, p.Gaps})
	}
	r.print("%s\n\n", t.Render())
}

// brief is a latency with three digits or so: more of them say nothing.
func brief(d time.Duration) time.Duration {
	step := time.Microsecond
	for d >= 1000*step {
		step *= 10
	}
	return d.Round(step)
}

func (r *auditRun) writeClauses(findings []audit.Finding) {
	counts := make(map[verdict.Verdict]int)
	t := table.NewWriter()
	t.AppendHeader(table.Row{"clause", "level", "role", "verdict", "why", "frames"})
	for _, f := range findings {
		if !r.flags.speaksOf(f.Role) {
			continue
		}
		counts[f.Verdict]++
		if r.shown(f) && (r.flags.all || f.Verdict != verdict.Pass) {
			t.AppendRow(table.Row{f.Clause.ID, f.Clause.Level, f.Role, f.Verdict, f.Message, audit.FrameList(f.Frames[:min(len(f.Frames), 4)])})
		}
	}
	if t.Length() > 0 {
		r.print("%s\n\n", t.Render())
	}
	r.print("%d clauses hold, %d are broken, %d cannot be decided, %d were not seen\n",
		counts[verdict.Pass], counts[verdict.Fail], counts[verdict.Inconclusive], counts[verdict.Skip])
}
