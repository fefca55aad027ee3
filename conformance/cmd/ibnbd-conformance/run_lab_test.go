// SPDX-License-Identifier: Apache-2.0

//go:build lab

package main_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm/image"
)

// These tests break runs that have real machines, from outside. They need what a run needs, and a minute or two.

// labRun is a run in progress.
type labRun struct {
	*exec.Cmd
	dir    string // of the report
	lines  *bufio.Scanner
	stderr *strings.Builder
}

// startRun starts a smoke run in one lab. It runs in this checkout, whose cache it uses.
func startRun(t *testing.T, dir string) *labRun {
	t.Helper()
	r := &labRun{Cmd: exec.Command(binary, "run", "--smoke", "--workers", "1", "--report", dir), dir: dir, stderr: &strings.Builder{}}
	r.Stderr = r.stderr
	// What is killed cannot clean up. The path is short: sockets lie below it.
	temp, err := os.MkdirTemp("", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	r.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Process.Kill()
		_ = r.Wait()
	})
	r.lines = bufio.NewScanner(out)
	return r
}

// until reads what the run prints until a line matches.
func (r *labRun) until(t *testing.T, want string) {
	t.Helper()
	matches := regexp.MustCompile(want).MatchString
	for r.lines.Scan() {
		if matches(r.lines.Text()) {
			return
		}
	}
	_ = r.Wait()
	t.Fatalf("the run did not print %q: %s", want, r.stderr)
}

// end reads the rest and gives how the run ended.
func (r *labRun) end() ended {
	var rest strings.Builder
	for r.lines.Scan() {
		rest.WriteString(r.lines.Text() + "\n")
	}
	_ = r.Wait()
	return ended{r.ProcessState.ExitCode(), rest.String(), r.stderr.String()}
}

// family are the processes below one, whose command lines match, as pidfds: they stay what they are when a process is gone.
func family(t *testing.T, parent int, want string) []int {
	t.Helper()
	var found []int
	for _, child := range children(t, parent) {
		commandLine, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(child), "cmdline"))
		if err == nil && regexp.MustCompile(want).Match(commandLine) {
			pidfd, err := unix.PidfdOpen(child, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(pidfd) })
			found = append(found, pidfd)
		}
		found = append(found, family(t, child, want)...)
	}
	return found
}

func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(parent), "task", "*", "children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread that has ended has no children
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

const (
	workers  = `^[^\x00]+\x00worker\x00`
	machines = `qemu-system`
)

// expectGone expects that processes end soon.
func expectGone(t *testing.T, what string, pidfds []int) {
	t.Helper()
	const soon = 10_000 // ms
	for _, pidfd := range pidfds {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, soon); n != 1 {
			t.Errorf("a %s is still there: %v", what, err)
		}
	}
}

// lab gives the worker and the machines of a run whose lab is up.
func (r *labRun) lab(t *testing.T) (worker int, guests []int) {
	t.Helper()
	r.until(t, "lab is up")
	found := family(t, r.Process.Pid, workers)
	guests = family(t, r.Process.Pid, machines)
	if len(found) != 1 || len(guests) != 2 {
		t.Fatalf("%d workers and %d machines, want 1 and 2", len(found), len(guests))
	}
	return found[0], guests
}

// journal reads what the run has recorded.
func (r *labRun) journal(t *testing.T) verdict.Run {
	t.Helper()
	run, err := verdict.ReadJournal(filepath.Join(r.dir, report.JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestKilledWorker(t *testing.T) {
	r := startRun(t, t.TempDir())
	worker, guests := r.lab(t)
	r.until(t, "PASS")
	if err := unix.PidfdSendSignal(worker, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	expectSentence(t, r.end(), verdict.ExitEnvironment, `worker 0 died \(signal: killed\) while .*; read \S+/worker-0.log`)
	expectGone(t, "machine", guests)
	if run := r.journal(t); len(run.Results) == 0 || !run.Interrupted() {
		t.Errorf("the journal has %d results, interrupted: %v", len(run.Results), run.Interrupted())
	}
}

func TestKilledSupervisor(t *testing.T) {
	r := startRun(t, t.TempDir())
	worker, guests := r.lab(t)
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.Wait()
	expectGone(t, "worker", []int{worker})
	expectGone(t, "machine", guests)
	// The directory of its report is free again, and what it left is no trouble.
	again := startRun(t, r.dir)
	again.until(t, "PASS")
}

func TestInterruptedOnce(t *testing.T) {
	r := startRun(t, t.TempDir())
	worker, guests := r.lab(t)
	r.until(t, "PASS")
	begin := time.Now()
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	got := r.end()
	expectSentence(t, got, verdict.ExitEnvironment, `interrupted: signal "interrupt" received`)
	expectGone(t, "worker", []int{worker})
	expectGone(t, "machine", guests)
	if !strings.Contains(got.stdout, "the run was interrupted before its end") {
		t.Errorf("the report does not say that the run was interrupted:\n%s", got.stdout)
	}
	for _, result := range r.journal(t).Results {
		if result.Verdict != verdict.Pass {
			t.Errorf("%s %s (%s) although only the run was interrupted", result.Clause, result.Verdict, result.Reason)
		}
	}
	t.Logf("ended after %s", time.Since(begin))
}

// TestInterruptedTwice has a worker that cannot end in order.
func TestInterruptedTwice(t *testing.T) {
	r := startRun(t, t.TempDir())
	worker, guests := r.lab(t)
	if err := unix.PidfdSendSignal(worker, unix.SIGSTOP, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.until(t, "once more ends at once")
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.end()
	if status := r.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGINT {
		t.Errorf("ended with %v, want by the signal", r.ProcessState)
	}
	expectGone(t, "worker", []int{worker})
	expectGone(t, "machine", guests)
}

// TestTwoRuns has a second run with the directory of a first one, which is refused and does not disturb the first.
func TestTwoRuns(t *testing.T) {
	first := startRun(t, t.TempDir())
	first.until(t, "lab is up")
	expectSentence(t, startRun(t, first.dir).end(), verdict.ExitEnvironment, `another run is writing its report there; choose another directory with --report`)
	second := startRun(t, t.TempDir())
	for _, r := range []*labRun{first, second} {
		if got := r.end(); got.code != int(verdict.ExitHolds) || got.stderr != "" {
			t.Errorf("exit code %d: %s", got.code, got.stderr)
		}
	}
}

// withInitramfs makes a cache like that of this checkout, but for the guests' root file system.
func withInitramfs(t *testing.T, content []byte) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("IBNBD_CACHE", cache)
	for _, part := range []string{"agent", "kernels", "layers", "resolved", "images"} {
		source := filepath.Join("..", "..", "..", "build", "cache", part)
		if out, err := exec.Command("cp", "-r", source, cache).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	images, err := filepath.Glob(filepath.Join(cache, "images", "*", "initramfs"))
	if err != nil || len(images) == 0 {
		t.Fatalf("there is no image to break: %v", err)
	}
	for _, file := range images {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGuestThatPanics(t *testing.T) {
	withInitramfs(t, []byte("this is no archive"))
	expectSentence(t, startRun(t, t.TempDir()).end(), verdict.ExitEnvironment,
		`boot host server: machine server ended: the guest's kernel panicked; .*Unable to mount root fs.*; read the guest's console in \S+/server.console`)
}

// TestSubjectThatIsNotThere boots guests without the modules of the subject.
func TestSubjectThatIsNotThere(t *testing.T) {
	without, err := image.Build(context.Background(), image.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(without.Initramfs)
	if err != nil {
		t.Fatal(err)
	}
	withInitramfs(t, content)
	expectSentence(t, startRun(t, t.TempDir()).end(), verdict.ExitEnvironment, `start the subjects: start mainline target: .*rtrs-server.*; read the kernel logs in \S+/machines/0`)
}
