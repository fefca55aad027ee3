// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestRNBDTimeline finds everything that the notes of the capture say was done, in order.
func TestRNBDTimeline(t *testing.T) {
	expectInOrder(t, timeline(t, load(t, rnbdCapture...)), []string{
		`path 10.0.0.2 to 10.0.0.1, connection 0: connection request, 0 of 2, incarnation 1`,
		`accepted, queue depth 512, max I/O size 126976, max header size 4096, key refresh on`,
		`session gold, path 10.0.0.2 to 10.0.0.1: session is up`,
		`session gold, path 10.0.1.2 to 10.0.1.1: path is connected`,
		`connection 0: SESS_INFO, permit 0, answered after \S+ \S+, status 0`,
		`connection 0: OPEN "dev/ram0" rw, permit 0, answered after .*, status 0, device 0 of 524288 sectors`,
		`connection 1: WRITE 4096 bytes at sector 0 of device 0, permit 0, answered after \S+ ms, status 0`,
		`connection 1: READ 4096 bytes at sector 0 of device 0, .* status 0`,
		`WRITE 126976 bytes at sector 256 of device 0, .* status 0`,
		`WRITE 4096 bytes at sector 504 of device 0, .* status 0`,
		`READ 4096 bytes at sector 504 of device 0, .* status 0`,
		`READ 126976 bytes at sector 256 of device 0, .* status 0`,
		`DISCARD 65536 bytes at sector 2048 of device 0, .* status 0`,
		`WRITE 4096 bytes at sector 0 of device 0, .* status 0`,
		`OPEN "dev/nosuch" rw, .* status -2 \(ENOENT\)`,
		`OPEN "dev/ram1" ro, .* status 0, device 1 of 524288 sectors`,
		`OPEN "../dev/ram1" rw, .* status -22 \(EINVAL\)`,
		`session other, path 10.0.0.2 to 10.0.0.1: session is up`,
		`session other, .*: OPEN "dev/ram0" rw, .* status -1 \(EPERM\)`,
		`session other, .*: session is down, its last path is lost`,
		`session other, path 10.0.0.2 to 10.0.0.1: session is up`,
		`session other, .*: OPEN "dev/ram0" migration, .* status 0, device 0 of 524288 sectors`,
		`session gold, .*: heartbeat of the initiator`,
		`session gold, .*: heartbeat acknowledged by the target after \S+ ms`,
		`session gold, .*: heartbeat of the target, 5.12 s after the last`,
		`CLOSE device 0, .* status 0`,
		`CLOSE device 1, .* status 0`,
		`session gold, .*: session is down`,
		`session other, .*: CLOSE device 0, .* status 0`,
		`session other, .*: session is down`,
	})
}

// TestSRPTimeline does the same for the SRP captures.
func TestSRPTimeline(t *testing.T) {
	lines := timeline(t, load(t, srpCapture...))
	expectInOrder(t, lines, []string{
		`login request, .* flags 0x80`,
		`rejected by the target: consumer reject, insufficient RDMA channel resources`,
		`login request`,
		`login accepted, request limit 128, flags 0x80`,
		`channel is up`,
		`READ\(10\) 8 blocks at block \d+ on LUN 0, .* status 0`,
		`WRITE\(10\) 8 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 8 blocks at block 24 on LUN 0, .* status 0`,
		`WRITE\(10\) 16 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 96 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 32 blocks at block 96 on LUN 0, .* status 0`,
		`INQUIRY on LUN 0, .* status 0, data-in residual 159`,
		`SERVICE ACTION IN\(16\) on LUN 0, .* status 0, data-in residual 4064`,
		`logical unit reset on LUN 0, .* response code 0`,
		`initiator asks for disconnection`,
		`disconnected`,
	})
	expectInOrder(t, lines, []string{`READ\(\d+\) \d+ blocks at block \d+ on LUN 0, .* status 2, sense 5/21/00`})
	expectInOrder(t, timeline(t, load(t, srpChannels...)), []string{
		`rejected by the target: invalid service id`,
		`rejected by the target: consumer reject, insufficient RDMA channel resources`,
		`login accepted, request limit \d+, flags 0x80`,
		`login accepted, request limit \d+, flags 0x82`,
		`WRITE\(10\) 64 blocks at block \d+ on LUN 0, .* status 0`,
	})
}

// expectInOrder fails unless lines that match the patterns follow each other, with any lines between them.
func expectInOrder(t *testing.T, lines []copied, patterns []string) {
	t.Helper()
	at := 0
	for _, pattern := range patterns {
		match := regexp.MustCompile(pattern)
		found := slices.IndexFunc(lines[at:], func(l copied) bool { return match.MatchString(l.text) })
		if found < 0 {
			t.Errorf("no line %q after %q", pattern, lines[max(0, at-1)].text)
			continue
		}
		if len(lines[at+found].frames) == 0 {
			t.Errorf("line %q names no frame", lines[at+found].text)
		}
		at += found + 1
	}
}

// TestEveryRequestIsAnswered counts: the captures are complete, so every request has its answer.
func TestEveryRequestIsAnswered(t *testing.T) {
	for _, names := range [][]string{rnbdCapture, srpCapture, srpChannels} {
		kinds := make(map[Kind]int)
		audit := Audit{Observe: func(e *Event) { kinds[e.Kind]++ }}
		report, err := audit.Run(t.Context(), load(t, names...).source())
		if err != nil {
			t.Fatal(err)
		}
		if sent, got := kinds[RequestSent]+kinds[CommandSent]+kinds[TaskManagement], kinds[RequestAnswered]+kinds[CommandAnswered]+kinds[TaskManagementAnswered]; sent != got || sent == 0 {
			t.Errorf("%v: %d requests, %d answers", names, sent, got)
		}
		for _, kind := range []Kind{Unanswered, CommandUnanswered, UnknownAnswer, Gap, Stray, StrayUnit} {
			if kinds[kind] > 0 {
				t.Errorf("%v: %d events of kind %v", names, kinds[kind], kind)
			}
		}
		if c := report.Counters; c.Missing+c.UnknownQP+c.Corrupted+c.Foreign > 0 {
			t.Errorf("%v: counters %+v", names, c)
		}
	}
}

// knownFindings explains every clause that mainline breaks in the captures. A finding that is not here is a mistake of the
// judge, and one that is here and not found is one as well.
var knownFindings = map[string]map[string]string{
	"rnbd": {},
	"srp": {
		"SRP-CMD-011":    "ib_srp leaves the 16 bytes between the descriptor and immediate data as they were in its buffer",
		"SRP-ROB-005":    "the same 16 bytes: old memory goes onto the wire",
		"SRP-LOGOUT-001": "ib_srp ends a channel with DREQ alone",
	},
	"channels": {
		"SRP-CMD-011":    "as in the other capture",
		"SRP-ROB-005":    "as in the other capture",
		"SRP-LOGOUT-001": "as in the other capture",
	},
	"reconnect": {
		"SRP-RECON-004": "after the link was cut, ib_srp asks for four connections within 12 ms, and goes on with all of them in step",
	},
}

func TestFindingsOnMainline(t *testing.T) {
	for name, files := range map[string][]string{"rnbd": rnbdCapture, "srp": srpCapture, "channels": srpChannels, "reconnect": srpReconnect} {
		t.Run(name, func(t *testing.T) {
			report := judged(t, load(t, files...), Configuration{})
			broken := failures(report)
			var got []string
			for key, message := range broken {
				got = append(got, key)
				if _, known := knownFindings[name][key]; !known {
					t.Errorf("%s: %s", key, message)
				}
			}
			for key := range knownFindings[name] {
				if !slices.Contains(got, key) {
					t.Errorf("%s is not found any more", key)
				}
			}
			for _, f := range report.Findings {
				if f.Verdict == verdict.Inconclusive {
					t.Errorf("%s is inconclusive on a complete capture: %s", f.key(), f.Message)
				}
				if f.Verdict != verdict.Skip && len(f.Frames) == 0 {
					t.Errorf("%s: %s names no frame", f.key(), f.Verdict)
				}
			}
		})
	}
}

// TestMainlineExercises pins how many clauses the captures decide, so that a rule that stops looking is noticed.
func TestMainlineExercises(t *testing.T) {
	passed := 0
	for _, f := range judged(t, load(t, rnbdCapture...), Configuration{}).Findings {
		if f.Verdict == verdict.Pass && strings.HasPrefix(f.Clause.ID, "IB") {
			passed++
		}
	}
	if passed < 95 {
		t.Errorf("%d clauses of IBTRS and IBNBD are judged to hold, were 100 and more", passed)
	}
}

// TestEveryWireClauseHasARule ties rules and catalogue together.
func TestEveryWireClauseHasARule(t *testing.T) {
	var rules, wire []string
	for _, rule := range Rules() {
		rules = append(rules, rule.Clause)
		if len(rule.On) == 0 || rule.Check == nil {
			t.Errorf("rule %s watches nothing", rule.Clause)
		}
	}
	for _, clause := range catalogue().All() {
		if clause.DecidedBy(clauses.Audit) {
			wire = append(wire, clause.ID)
		}
	}
	slices.Sort(rules)
	slices.Sort(wire)
	if diff := cmp.Diff(wire, rules); diff != "" {
		t.Errorf("clauses decided by the wire (-) and rules (+):\n%s", diff)
	}
}

func TestResultsFitTheCatalogue(t *testing.T) {
	report := judged(t, load(t, srpReconnect...), Configuration{})
	results := report.Results(map[string]string{"srp-four-targets-reconnect": "evidence/rail0.pcap"})
	for _, r := range results {
		if err := r.Validate(catalogue()); err != nil {
			t.Error(err)
		}
		for _, e := range r.Evidence {
			if e.Path != "evidence/rail0.pcap" || len(e.Frames) == 0 {
				t.Errorf("%s: evidence %+v", r.Clause, e)
			}
		}
	}
	if len(results) < len(Rules()) {
		t.Errorf("%d results for %d rules", len(results), len(Rules()))
	}
}

// TestBeginInTheMiddle: of connections that were made before the capture only what stands in a packet is told.
func TestBeginInTheMiddle(t *testing.T) {
	whole := load(t, rnbdCapture...)
	e := search(t, rnbdCapture...)
	middle := e.find(8, initiatorRequest(4, anyRead))
	lines := timeline(t, whole[middle:])
	expectInOrder(t, lines, []string{
		`^10.0.0.2 to 10.0.0.1, connection from before the capture, session unknown: READ 4096 bytes at sector \d+ of device 0, permit unknown`,
		`session unknown: DISCARD 65536 bytes at sector 2048 of device 0, permit unknown`,
		`session other, .*: OPEN "dev/ram0" migration, .* status 0`,
	})
	for _, l := range lines {
		if strings.Contains(l.text, "session gold") {
			t.Errorf("session gold is known: %s", l.text)
		}
	}
}

func TestJudgeFiles(t *testing.T) {
	rail0, rail1 := filepath.Join(capturesDir, rnbdCapture[0]), filepath.Join(capturesDir, rnbdCapture[1])
	results, err := JudgeFiles(t.Context(), Configuration{}, rail0, rail1)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(results, func(r verdict.Result) bool { return r.Clause == "IBTRS-CONN-006" })
	if i < 0 || results[i].Verdict != verdict.Pass || results[i].Role != clauses.Initiator || results[i].Evidence[0].Path != rail0 || results[i].Evidence[0].Frames[0] != 17 {
		t.Errorf("result of IBTRS-CONN-006: %+v", results[i])
	}
	if _, err := JudgeFiles(t.Context(), Configuration{}, filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a file that is not there is judged")
	}
}
