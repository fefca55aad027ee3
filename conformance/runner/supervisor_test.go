// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm"
)

// fakeRun is a run of fake workers.
type fakeRun struct {
	options Options
	plan    *Plan
	journal *verdict.Writer
	shown   bytes.Buffer
	show    *progress
}

// newFakeRun prepares a run with one worker for each list of specs and the report in dir.
func newFakeRun(dir string, shares ...[]string) (*fakeRun, error) {
	journal, err := verdict.Create(filepath.Join(dir, report.JournalFile), clausestest.Catalogue(), verdict.Header{
		Start:    time.Unix(1, 0).UTC(),
		Subjects: []verdict.Subject{{Name: "fake", Subject: clauses.Subject{Role: clauses.Initiator, Dialect: "rnbd"}}},
	})
	if err != nil {
		return nil, err
	}
	s := &fakeRun{options: Options{Settings: Settings{ReportDir: dir}}, plan: &Plan{Workers: len(shares)}, journal: journal}
	for _, names := range shares {
		for _, name := range names {
			s.plan.Specs = append(s.plan.Specs, Spec{Name: name})
		}
	}
	s.show = newProgress(&s.shown, len(s.plan.Specs))
	return s, nil
}

func testFakeRun(t *testing.T, shares ...[]string) *fakeRun {
	t.Helper()
	s, err := newFakeRun(t.TempDir(), shares...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.journal.Close() })
	return s
}

// carryOut runs the workers with limits that a test can wait for. A run that takes longer than a minute hangs.
func (s *fakeRun) carryOut(ctx context.Context, t *testing.T, waits limits) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := runWorkers(ctx, s.options, s.plan, waits, s.show, s.journal)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the run hangs")
	}
	return err
}

// patient are limits that nothing reaches in these tests; hasty ones are reached soon.
var (
	patient = limits{silence: time.Minute, stop: time.Minute}
	hasty   = limits{silence: time.Second, stop: time.Second}
)

// recorded lists the specs in the journal on the disk, sorted: workers come in any order.
func (s *fakeRun) recorded(t *testing.T) []string {
	t.Helper()
	run, err := verdict.ReadJournal(filepath.Join(s.options.ReportDir, report.JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	var specs []string
	for _, r := range run.Results {
		specs = append(specs, r.Spec)
	}
	slices.Sort(specs)
	return specs
}

func TestWorkersThatPass(t *testing.T) {
	s := testFakeRun(t, []string{allPass, "b"}, []string{allPass, "c"})
	if err := s.carryOut(t.Context(), t, patient); err != nil {
		t.Fatal(err)
	}
	// How the subjects unloaded is recorded once, since both workers say the same.
	want := []string{allPass, allPass, "b", "c", "the target unloads after all specs"}
	if diff := cmp.Diff(want, s.recorded(t)); diff != "" {
		t.Errorf("in the journal (-want +got):\n%s", diff)
	}
	for _, want := range []string{"worker 0: lab is up", "worker 1: lab is up", "4/4 PASS"} {
		if !strings.Contains(s.shown.String(), want) {
			t.Errorf("%q was not shown:\n%s", want, &s.shown)
		}
	}
}

// TestUnloadingIsToldByAnyWorker: a worker whose last spec has broken its lab has nothing to tell of how the subjects unloaded.
func TestUnloadingIsToldByAnyWorker(t *testing.T) {
	s := testFakeRun(t, []string{claimsFirst}, []string{allPass})
	if err := s.carryOut(t.Context(), t, patient); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{allPass, "b", "c", "d", "the target unloads after all specs"}, s.recorded(t)); diff != "" {
		t.Errorf("in the journal (-want +got):\n%s", diff)
	}
}

// TestWorkersShareTheirClaims: what one of them has claimed, the other leaves alone.
func TestWorkersShareTheirClaims(t *testing.T) {
	s := testFakeRun(t, []string{claimsFirst}, []string{claimsFirst})
	if err := s.carryOut(t.Context(), t, patient); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c", "d"}, s.recorded(t)); diff != "" {
		t.Errorf("in the journal (-want +got):\n%s", diff)
	}
}

// TestLostWorker has one of two workers go wrong and sees the other one stopped, what was judged recorded, and one sentence.
func TestSpecThatCouldNotBeJudgedRunsOnceMoreAlone(t *testing.T) {
	s := testFakeRun(t, []string{doubtsAtFirst, "b"})
	if err := s.carryOut(t.Context(), t, patient); err != nil {
		t.Fatal(err)
	}
	want := []string{"b", doubtsAtFirst, doubtsAtFirst}
	if diff := cmp.Diff(want, s.recorded(t)); diff != "" {
		t.Errorf("in the journal (-want +got):\n%s", diff)
	}
	for _, want := range []string{"1/2 INCONCLUSIVE", "1 spec could not be judged", "3/3 PASS"} {
		if !strings.Contains(s.shown.String(), want) {
			t.Errorf("%q was not shown:\n%s", want, &s.shown)
		}
	}
}

func TestLostWorker(t *testing.T) {
	for _, c := range []struct {
		part     string
		waits    limits
		want     string // a regular expression for the error
		recorded []string
	}{
		{diesInItsSecond, patient, `^worker 1 died \(signal: killed\) while running "second"; read \S+/worker-1.log, .*--workers$`, []string{diesInItsSecond}},
		{diesAtOnce, patient, `^worker 1 died \(exit status 7\) while booting its lab; `, nil},
		{leavesSilently, patient, `^worker 1 ended without taking down its lab while between two specs; `, nil},
		{talksNonsense, patient, `^worker 1 says what its supervisor does not understand: invalid character 'p'`, nil},
		{talksForever, limits{silence: time.Minute, stop: time.Second}, `does not understand: no result of the spec`, nil},
		{inventsClause, patient, `^cannot record the run: .*NO-SUCH-001.*; .*--report$`, nil},
		{cannotBoot, patient, `^cannot boot: no kernel; build one$`, nil},
	} {
		t.Run(c.part, func(t *testing.T) {
			t.Parallel()
			s := testFakeRun(t, []string{stopsWhenTold}, []string{c.part, "second"})
			s.expectLoss(t, c.waits, c.want)
			if diff := cmp.Diff(c.recorded, s.recorded(t)); diff != "" {
				t.Errorf("in the journal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSilentWorker(t *testing.T) {
	for _, part := range []string{neverAnswers, neverStops} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			testFakeRun(t, []string{part}).expectLoss(t, hasty, `^worker 0 said nothing for 1s while booting its lab; `)
		})
	}
}

// expectLoss plays a run that must end with an *EnvironmentError of one line.
func (s *fakeRun) expectLoss(t *testing.T, waits limits, want string) {
	t.Helper()
	err := s.carryOut(t.Context(), t, waits)
	var environment *EnvironmentError
	if !errors.As(err, &environment) || !regexp.MustCompile(want).MatchString(err.Error()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q (%T), want one line that matches %q", err, err, want)
	}
}

// TestInterruptedRun interrupts a run when both workers are in a spec. Nothing can be said of those.
func TestInterruptedRun(t *testing.T) {
	s := testFakeRun(t, []string{stopsWhenTold}, []string{stopsWhenTold})
	ctx, interrupt := context.WithCancelCause(t.Context())
	s.show.out = writer(func(p []byte) {
		s.shown.Write(p)
		if strings.Count(s.shown.String(), "lab is up") == 2 {
			interrupt(errors.New("Ctrl-C"))
		}
	})
	if err := s.carryOut(ctx, t, patient); err == nil || err.Error() != "Ctrl-C" {
		t.Errorf("error %v, want the cause of the interruption", err)
	}
	if got := s.recorded(t); len(got) > 0 {
		t.Errorf("specs that were interrupted are judged: %s", got)
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestInterruptedWorkerThatDoesNotStop(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	s := testFakeRun(t, []string{neverStops})
	if err := s.carryOut(ctx, t, limits{silence: time.Minute, stop: time.Second}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestWorkersStartNoWorkers: a program that runs a lab and does not call conformance.Worker would start itself without end.
func TestWorkersStartNoWorkers(t *testing.T) {
	given := os.Args
	defer func() { os.Args = given }()
	os.Args = []string{given[0], WorkerArgument}
	var environment *vm.EnvironmentError
	err := (&share{}).run(t.Context())
	if !errors.As(err, &environment) || !errors.Is(err, errNested) {
		t.Errorf("a worker starts a worker: %v", err)
	}
}

// TestTemporaryDirectory sees that what workers leave behind, sockets for instance, goes away with the run.
func TestTemporaryDirectory(t *testing.T) {
	err := testFakeRun(t, []string{tellsItsTemporary}).carryOut(t.Context(), t, patient)
	if err == nil || !strings.HasPrefix(filepath.Base(err.Error()), "ibnbd-") {
		t.Fatalf("the worker has no temporary directory of its own: %v", err)
	}
	if _, statErr := os.Stat(err.Error()); !errors.Is(statErr, os.ErrNotExist) {
		t.Errorf("%v is still there: %v", err, statErr)
	}
}

// TestNoWorkerOutlivesItsSupervisor kills a supervisor and sees its worker go, which does not go by itself.
func TestNoWorkerOutlivesItsSupervisor(t *testing.T) {
	supervisor := exec.Command(os.Args[0], "supervisor", t.TempDir())
	supervisor.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // it cannot clean up
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	worker := workerOf(t, bufio.NewScanner(out))
	defer unix.Close(worker)
	if err := supervisor.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait()
	const soon = 10_000 // ms
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(worker), Events: unix.POLLIN}}, soon); n != 1 {
		t.Errorf("the worker outlived its supervisor: %v", err)
		_ = unix.PidfdSendSignal(worker, unix.SIGKILL, nil, 0)
	}
}

// workerOf reads from a supervisor's output which process its worker is, and returns a pidfd of that.
func workerOf(t *testing.T, lines *bufio.Scanner) int {
	t.Helper()
	said := regexp.MustCompile(`pid (\d+)`)
	for lines.Scan() {
		if match := said.FindStringSubmatch(lines.Text()); match != nil {
			pid, err := strconv.Atoi(match[1])
			if err != nil {
				t.Fatal(err)
			}
			pidfd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				t.Fatalf("the worker is not there before its supervisor's end: %v", err)
			}
			return pidfd
		}
	}
	t.Fatal("the supervisor did not say which process its worker is")
	return -1
}

func TestWorkThatNobodyOrdered(t *testing.T) {
	labOf := func(name string) *kit.Protocol { return map[string]*kit.Protocol{"known": {}}[name] }
	for name, input := range map[string]string{
		"nothing": "", "no specs": "{}",
		"no protocol": `{"Specs": ["a"]}`, "no pipe": `{"Specs": ["a"], "Kit": {"Protocol": "known"}}`,
	} {
		if err := Work(t.Context(), strings.NewReader(input), labOf); !errors.Is(err, errNotStarted) {
			t.Errorf("%s: error %v, want %v", name, err, errNotStarted)
		}
	}
}

func TestEveryOtherWorkerBeginsWithTheLongest(t *testing.T) {
	for number, want := range []bool{true, false, true, false} {
		s := &share{orders: orders{Number: number}}
		if got := slices.Contains(s.environment(), kit.LongFirst+"=yes"); got != want {
			t.Errorf("worker %d begins with the longest: %v, want %v", number, got, want)
		}
	}
}
