// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func create(t *testing.T) (*verdict.Writer, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "results.jsonl")
	w, err := verdict.Create(name, clausestest.Catalogue(), mainline())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, name
}

func appendAll(t *testing.T, w *verdict.Writer, results ...verdict.Result) {
	t.Helper()
	for _, r := range results {
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, name string) verdict.Run {
	t.Helper()
	run, err := verdict.ReadJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestJournalGivesBackTheRun(t *testing.T) {
	w, name := create(t)
	full := result(must, verdict.Fail)
	full.Message, full.Duration, full.Rerun = "a \"quoted\"\nline", time.Second, "run it"
	full.Timings = []verdict.Timing{{Name: "stall", Value: 3, AtMost: 5, Formula: "a + b", Terms: map[string]time.Duration{"a": 2, "b": 3}}}
	full.Timeline = []verdict.Event{{At: 1, Where: "rail0", What: "carrier lost"}}
	full.Series = []verdict.Series{{Name: "I/O", Unit: "1/s", Points: []verdict.Point{{At: 1, Value: 2.5}}}}
	full.Evidence = []verdict.Evidence{{Kind: verdict.Packets, Path: "spec/rail0.pcapng", Frames: []int{7}}}
	appendAll(t, w, full, result(mustToo, verdict.Pass))
	header := mainline()
	header.Environment = verdict.Environment{Kernel: "6.12.1", Packages: map[string]string{"fio": "3.33"}}
	if err := w.SetHeader(header); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}

	want := verdict.Run{Header: header, Results: []verdict.Result{full, result(mustToo, verdict.Pass)}, End: noon.Add(time.Hour)}
	if diff := cmp.Diff(want, read(t, name)); diff != "" {
		t.Errorf("run read back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, w.Run()); diff != "" {
		t.Errorf("run of the writer (-want +got):\n%s", diff)
	}
}

func TestJournalIsThereAfterEachRecord(t *testing.T) {
	w, name := create(t)
	for n := range 3 {
		if run := read(t, name); len(run.Results) != n || !run.Interrupted() || run.Torn {
			t.Fatalf("after %d results: %d, interrupted %v, torn %v", n, len(run.Results), run.Interrupted(), run.Torn)
		}
		appendAll(t, w, result(must, verdict.Pass))
	}
}

func TestJournalCutAnywhereIsReadUpToThere(t *testing.T) {
	w, name := create(t)
	appendAll(t, w, result(must, verdict.Pass), result(mustToo, verdict.Fail))
	if err := w.Finish(noon); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Index(string(whole), "\n") + 1
	for cut := header; cut < len(whole); cut++ {
		run, err := verdict.DecodeJournal(strings.NewReader(string(whole[:cut])))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		complete := strings.Count(string(whole[header:cut]), "\n")
		if len(run.Results) != complete || !run.Interrupted() || run.Torn != (whole[cut-1] != '\n') {
			t.Fatalf("cut at %d: %d results, want %d; torn %v", cut, len(run.Results), complete, run.Torn)
		}
	}
}

func TestJournalDamageNamesTheLine(t *testing.T) {
	const header = `{"kind":"header","version":1,"header":{"tool":"","start":"2030-01-02T12:00:00Z","seed":0,"subjects":[],"environment":{}}}` + "\n"
	const end = `{"kind":"end","end":"2030-01-02T12:00:00Z"}` + "\n"
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "no header"},
		{"torn header", header[:40], "no header"},
		{"not JSON", header + "hello\n", "line 2: invalid character"},
		{"no header", end, `line 1: a "end" record before the header`},
		{"newer version", strings.Replace(header, `"version":1`, `"version":2`, 1), "line 1: version 2, this program reads 1"},
		{"unknown kind", header + `{"kind":"poem"}` + "\n", `line 2: a record of unknown kind "poem"`},
		{"empty result", header + `{"kind":"result"}` + "\n", `unknown kind "result"`},
		{"unknown field", header + `{"kind":"end","finish":1}` + "\n", `unknown field "finish"`},
		{"after the end", header + end + end, `line 3: a "end" record after the end`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := verdict.DecodeJournal(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWriterRefusesWhatDoesNotFit(t *testing.T) {
	w, name := create(t)
	if err := w.Append(result("IBTRS-CONN-999", verdict.Pass)); err == nil {
		t.Error("a result on an unknown clause was recorded")
	}
	if err := w.SetHeader(verdict.Header{}); err == nil {
		t.Error("an empty header was recorded")
	}
	if run := read(t, name); len(run.Results) != 0 || run.Header.Start != noon {
		t.Errorf("refused records are in the journal: %+v", run)
	}
}

func TestClosedWriterRefuses(t *testing.T) {
	w, _ := create(t)
	if err := w.Finish(noon); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(result(must, verdict.Pass)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("append after the end: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestWriterTakesResultsFromManySides(t *testing.T) {
	w, name := create(t)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			r := result(must, verdict.Pass)
			r.Spec = fmt.Sprintf("spec %d", i)
			if err := w.Append(r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := len(read(t, name).Results); got != 20 {
		t.Errorf("%d results, want 20", got)
	}
}

func TestCreateInAMissingDirectory(t *testing.T) {
	_, err := verdict.Create(filepath.Join(t.TempDir(), "no", "results.jsonl"), clausestest.Catalogue(), mainline())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
