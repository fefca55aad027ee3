// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// catalogue is a small one, so that golden files are too: TEST-WIRE-001 to -008 are MUST, -009 is SHOULD, -010 is of
// dialect ibnbd only, -011 is undecidable; TEST-DISK-001 has no spec.
func catalogue(t *testing.T) *clauses.Catalogue {
	t.Helper()
	var wire strings.Builder
	wire.WriteString("area: TEST-WIRE\ntitle: The wire\ndialects: [ibnbd, rnbd]\nclauses:\n")
	for n := 1; n <= 11; n++ {
		level, extra, decided := "MUST", "", "{by: [active]}"
		switch n {
		case 9:
			level = "SHOULD"
		case 10:
			extra = "    dialects: [ibnbd]\n"
		case 11:
			decided = "{undecidable: Nobody can see it.}"
		}
		fmt.Fprintf(&wire, "  - id: TEST-WIRE-%03d\n    level: %s\n    judges: target\n    text: Requirement %d <holds> & \"stays\".\n"+
			"    source: [seed]\n%s    decided: %s\n", n, level, n, extra, decided)
	}
	disk := "area: TEST-DISK\ntitle: The disk\ndialects: [ibnbd, rnbd]\nclauses:\n  - id: TEST-DISK-001\n    level: MUST\n" +
		"    judges: target\n    text: The disk keeps what was written.\n    source: [seed]\n    decided: {by: [active]}\n"
	c, err := clauses.New(clauses.Part{
		Dialects: []clauses.Dialect{"ibnbd", "rnbd"},
		Files:    fstest.MapFS{"test-wire.yaml": {Data: []byte(wire.String())}, "test-disk.yaml": {Data: []byte(disk)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func header() verdict.Header {
	return verdict.Header{
		Tool: "v0.1.0", Edition: "3.0", Command: []string{"ibnbd-conformance", "run", "--seed", "7"}, Start: noon, Seed: 7,
		Subjects: []verdict.Subject{{
			Name: "mainline-6.12", Versions: map[string]string{"rnbd-server": "6.12.57", "rtrs-server": "6.12.57"},
			Subject: clauses.Subject{Role: clauses.Target, Dialect: "rnbd"},
		}},
		Environment: verdict.Environment{
			Host: "bench", Kernel: "6.1.0-40-amd64", Guest: "6.12.57+deb12-amd64", Accelerator: "tcg", CPUs: 2,
			Packages: map[string]string{"rdma-core": "44.0-2", "fio": "3.33-3"},
		},
	}
}

func result(n int, v verdict.Verdict, reason verdict.Reason, message string) verdict.Result {
	return verdict.Result{
		Clause: fmt.Sprintf("TEST-WIRE-%03d", n), Spec: fmt.Sprintf("the target keeps rule %d", n),
		Verdict: v, Reason: reason, Message: message, Start: noon.Add(time.Duration(n) * time.Second),
		Duration: 1234 * time.Millisecond,
	}
}

// runs are the golden cases: one with every verdict, and one for each way in which a run can end.
func runs() map[string]verdict.Run {
	bad := header()
	bad.BaselineFile = "known.yaml"
	bad.Baseline = []verdict.ExpectedFailure{
		{Clause: "TEST-WIRE-005", Subject: "mainline-*", Owner: "the suite's authors", Reason: "mainline names it otherwise", Expires: "2030-06-30"},
		{Clause: "TEST-WIRE-006", Subject: "mainline-*", Owner: "the suite's authors", Reason: "never did", Expires: "2030-06-30"},
		{Clause: "TEST-WIRE-001", Subject: "mainline-*", Owner: "the suite's authors", Reason: "long ago", Expires: "2029-12-31"},
	}
	known := header()
	known.BaselineFile, known.Baseline = "known.yaml", bad.Baseline[:1]
	selected := header()
	selected.Selection = "area TEST-WIRE"
	end := noon.Add(95 * time.Second)

	failing := result(2, verdict.Fail, verdict.AssertionFailed, "expected reject -104,\ngot \"accept\" <at once> # 1")
	failing.Rerun = "ibnbd-conformance run --clause TEST-WIRE-002 --seed 7"
	failing.Evidence = []verdict.Evidence{
		{Kind: verdict.Packets, Path: "evidence/TEST-WIRE-002/rail0.pcapng", Frames: []int{12, 13}, Note: "the request and its accept"},
		{Kind: verdict.KernelLog, Path: "evidence/TEST-WIRE-002/server.log"},
	}
	slow := result(7, verdict.Fail, verdict.BoundExceeded, "I/O stall took 41.2s")
	slow.Timings = []verdict.Timing{{
		Name: "I/O stall", Value: 41200 * time.Millisecond, AtMost: 35 * time.Second, Formula: "interval x (misses + 2)",
		Terms: map[string]time.Duration{"interval": 5 * time.Second},
	}}
	slow.Timeline = []verdict.Event{{At: 2 * time.Second, Where: "rail0", What: "carrier lost"}, {At: 43200 * time.Millisecond, Where: "client", What: "I/O goes on"}}
	slow.Series = []verdict.Series{{Name: "completed I/O", Unit: "1/s", Points: []verdict.Point{
		{At: 0, Value: 900}, {At: 2 * time.Second, Value: 905}, {At: 3 * time.Second, Value: 0}, {At: 43 * time.Second, Value: 0}, {At: 45 * time.Second, Value: 880},
	}}}
	quick := result(1, verdict.Pass, "", "")
	quick.Timings = []verdict.Timing{
		{Name: "reconnect", Value: 31500 * time.Millisecond, AtLeast: 31 * time.Second, AtMost: 39 * time.Second, Formula: "delay + 1 s + spread"},
		{Name: "map", Value: 210 * time.Millisecond},
	}

	return map[string]verdict.Run{
		"every-verdict": {Header: bad, End: end, Results: []verdict.Result{
			quick, failing,
			result(3, verdict.SuiteError, verdict.Panicked, "index out of range"),
			result(4, verdict.Inconclusive, verdict.TransportFailed, "rping lost 3 of 10"),
			result(5, verdict.Fail, verdict.AssertionFailed, "dev!ram0@blya"),
			result(6, verdict.Pass, "", ""),
			slow,
			result(8, verdict.Skip, verdict.NoHook, "needs restart"),
			result(9, verdict.Fail, verdict.AssertionFailed, "advice not taken"),
			result(10, verdict.NotApplicable, verdict.OtherDialect, "no io_mode"),
		}},
		"holds":        {Header: known, End: end, Results: []verdict.Result{quick, result(5, verdict.Fail, verdict.AssertionFailed, "dev!ram0@blya")}},
		"fails":        {Header: header(), End: end, Results: []verdict.Result{result(1, verdict.Pass, "", ""), failing}},
		"suite-error":  {Header: header(), End: end, Results: []verdict.Result{result(3, verdict.SuiteError, verdict.Panicked, "index out of range")}},
		"nothing-ran":  {Header: selected, End: end, Results: []verdict.Result{result(8, verdict.Skip, verdict.NoHook, "needs restart")}},
		"inconclusive": {Header: header(), End: end, Results: []verdict.Result{result(4, verdict.Inconclusive, verdict.TransportFailed, "rping lost 3 of 10")}},
		"timed-out":    {Header: header(), End: end, Results: []verdict.Result{result(2, verdict.Fail, verdict.SpecTimedOut, "no answer within 90s")}},
		"interrupted":  {Header: header(), Torn: true, Results: []verdict.Result{result(1, verdict.Pass, "", "")}},
	}
}

func outcome(t *testing.T, name string) *verdict.Outcome {
	t.Helper()
	run, ok := runs()[name]
	if !ok {
		t.Fatalf("no sample %q", name)
	}
	o, err := verdict.Judge(catalogue(t), run)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
