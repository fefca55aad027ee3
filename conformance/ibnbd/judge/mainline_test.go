// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge/match"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestRNBDTimeline finds everything that the notes of the capture say was done, in order.
func TestRNBDTimeline(t *testing.T) {
	audittest.ExpectInOrder(t, tests.Timeline(t, load(t, rnbdCapture...)), []string{
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
		`OPEN "dev/nosuch" rw, .* status ENOENT`,
		`OPEN "dev/ram1" ro, .* status 0, device 1 of 524288 sectors`,
		`OPEN "../dev/ram1" rw, .* status EINVAL`,
		`session other, path 10.0.0.2 to 10.0.0.1: session is up`,
		`session other, .*: OPEN "dev/ram0" rw, .* status EPERM`,
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

// TestEveryRequestIsAnswered: the capture is complete, so every request has its answer.
func TestEveryRequestIsAnswered(t *testing.T) {
	tests.EveryRequestIsAnswered(t, load(t, rnbdCapture...), on(RequestSent), on(RequestAnswered), on(Unanswered, Stray))
}

// TestFindingsOnMainline: mainline breaks nothing in the capture.
func TestFindingsOnMainline(t *testing.T) { tests.Findings(t, load(t, rnbdCapture...), nil) }

// TestMainlineExercises pins how many clauses the captures decide, so that a rule that stops looking is noticed.
func TestMainlineExercises(t *testing.T) {
	passed := 0
	for _, f := range tests.Judged(t, load(t, rnbdCapture...)).Findings {
		if f.Verdict == verdict.Pass {
			passed++
		}
	}
	if passed < 95 {
		t.Errorf("%d clauses of IBTRS and IBNBD are judged to hold, were 100 and more", passed)
	}
}

func TestEveryClauseHasARule(t *testing.T) { tests.EveryClauseHasARule(t) }

// TestBeginInTheMiddle: of connections that were made before the capture only what stands in a packet is told.
func TestBeginInTheMiddle(t *testing.T) {
	whole := load(t, rnbdCapture...)
	e := search(t, rnbdCapture...)
	middle := e.Find(8, match.Request(4, anyRead))
	lines := tests.Timeline(t, whole[middle:])
	audittest.ExpectInOrder(t, lines, []string{
		`^10.0.0.2 to 10.0.0.1, connection from before the capture, session unknown: READ 4096 bytes at sector \d+ of device 0, permit unknown`,
		`session unknown: DISCARD 65536 bytes at sector 2048 of device 0, permit unknown`,
		`session other, .*: OPEN "dev/ram0" migration, .* status 0`,
	})
	for _, l := range lines {
		if strings.Contains(l.Text, "session gold") {
			t.Errorf("session gold is known: %s", l.Text)
		}
	}
}

func TestJudgeFiles(t *testing.T) {
	rail0, rail1 := audittest.Mainline(rnbdCapture[0])[0], audittest.Mainline(rnbdCapture[1])[0]
	results, err := Protocol.JudgeFiles(t.Context(), rail0, rail1)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(results, func(r verdict.Result) bool { return r.Clause == "IBTRS-CONN-006" })
	if i < 0 || results[i].Verdict != verdict.Pass || results[i].Role != clauses.Initiator || results[i].Evidence[0].Path != rail0 || results[i].Evidence[0].Frames[0] != 17 {
		t.Errorf("result of IBTRS-CONN-006: %+v", results[i])
	}
	if _, err := Protocol.JudgeFiles(t.Context(), filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a file that is not there is judged")
	}
}
