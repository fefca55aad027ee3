// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// limits bound the waits of a supervisor.
type limits struct {
	silence time.Duration // between two messages of a worker that lives
	stop    time.Duration // for a worker to end its spec and take down its lab after it was told to stop
}

// usual are the limits of a real run. Between two messages of a worker are a boot or a whole spec at most.
var usual = limits{silence: max(kit.BootTimeout, kit.SpecBound) + time.Minute, stop: 45 * time.Second}

// share is one worker's part of a run, as its supervisor sees it.
type share struct {
	orders   orders
	temp     string // a directory for the worker's sockets; whoever runs the share removes it
	limits   limits
	progress *progress
	journal  *verdict.Writer
	passive  *passive
	unloads  *passive // thins out how the subjects unloaded, in the same way

	doing  string // what the worker is at, for the sentence that tells of its death
	failed error  // why the worker could not go on, in its own words
	done   bool   // it took its lab down in good order
}

// run starts the worker and follows it to its end. A worker that cannot go on gives a *vm.EnvironmentError.
func (s *share) run(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	worker, messages, err := s.start(working)
	if err != nil {
		return &vm.EnvironmentError{What: fmt.Sprintf("cannot start worker %d", s.orders.Number), Err: err}
	}
	followErr := s.follow(ctx, messages)
	messages.Close() // so that a worker that nobody listens to any more is not stopped by a full pipe
	if followErr != nil {
		stop()
	}
	waitErr := worker.Wait()
	switch {
	case s.failed != nil:
		return s.failed
	case followErr != nil:
		return followErr
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !s.done:
		return s.died(waitErr)
	}
	return nil
}

// errNested keeps a program that does not know what it was started for from starting itself again and again.
var errNested = errors.New("the program was itself started as a worker; it must call conformance.Worker before anything else")

// start starts the worker: its orders are on its standard input, what it prints goes to its log, its messages come through
// a pipe of their own.
func (s *share) start(ctx context.Context) (worker *exec.Cmd, messages *os.File, err error) {
	if len(os.Args) == 2 && os.Args[1] == WorkerArgument {
		return nil, nil, errNested
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	input, err := json.Marshal(s.orders)
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(s.log())
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	messages, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer writer.Close()

	worker = exec.CommandContext(ctx, self, WorkerArgument)
	worker.Env = append(os.Environ(), s.environment()...)
	worker.Stdin = bytes.NewReader(input)
	worker.Stdout, worker.Stderr = log, log
	worker.ExtraFiles = []*os.File{writer} // becomes messageDescriptor
	worker.Cancel = func() error { return worker.Process.Signal(os.Interrupt) }
	worker.WaitDelay = s.limits.stop
	// A group of its own: Ctrl-C reaches the supervisor alone, which then stops the workers in order.
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := startBound(worker); err != nil {
		messages.Close()
		return nil, nil, err
	}
	s.doing = "booting its lab"
	return worker, messages, nil
}

// environment is what the worker's environment has besides ours. Every other worker begins with the longest specs: they wait more
// than they work, so if all did, the processors would idle first and could not do the rest in time; and if none did, the run
// would end with one lab at a long spec and the others idle.
func (s *share) environment() []string {
	env := []string{"TMPDIR=" + s.temp}
	if s.orders.Number%2 == 0 {
		env = append(env, kit.LongFirst+"=yes")
	}
	return env
}

// log is where the worker's output is.
func (s *share) log() string { return filepath.Join(s.orders.Kit.ReportDir, logName(s.orders.Number)) }

// follow takes the worker's messages until it closes its end, and gives up on one that is silent for too long.
func (s *share) follow(ctx context.Context, messages *os.File) error {
	dec := json.NewDecoder(messages)
	for {
		if err := messages.SetReadDeadline(time.Now().Add(s.limits.silence)); err != nil {
			return fmt.Errorf("read from worker %d: %w", s.orders.Number, err)
		}
		var m message
		err := dec.Decode(&m)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // it is dead; Wait tells how it died
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return s.lost(fmt.Sprintf("said nothing for %s", s.limits.silence))
		case err == nil:
			err = m.check()
		}
		if err != nil {
			return s.lost(fmt.Sprintf("says what its supervisor does not understand: %v", err))
		}
		if err := s.take(ctx, m); err != nil {
			return err
		}
	}
}

func (s *share) take(ctx context.Context, m message) error {
	switch m.Kind {
	case ready:
		s.doing = "between two specs"
		s.progress.say("worker %d: lab is up", s.orders.Number)
	case begun:
		s.doing = fmt.Sprintf("running %q", m.Spec)
		s.progress.begun(s.orders.Number, m.Spec)
	case ended:
		s.doing = "between two specs"
		s.progress.ended(s.orders.Number, m.Spec, m.Verdict, m.Results[0])
		return s.record(append(judged(ctx, m.Results), s.passive.news(m.Passive)...))
	case failed:
		s.failed = &vm.EnvironmentError{What: m.Text}
	case closed:
		s.done = true
		return s.record(s.unloads.news(m.Results)) // all workers say the same unless one fails, or its lab is broken
	}
	return nil
}

// judged leaves out the specs that were interrupted because the run was: nothing can be said of them.
func judged(ctx context.Context, results []verdict.Result) []verdict.Result {
	if ctx.Err() == nil {
		return results
	}
	return slices.DeleteFunc(results, func(r verdict.Result) bool { return r.Reason == verdict.Interrupted })
}

func (s *share) record(results []verdict.Result) error { return record(s.journal, results) }

// died says how a worker ended that did not say goodbye.
func (s *share) died(err error) error {
	how := "ended without taking down its lab"
	if err != nil {
		how = fmt.Sprintf("died (%v)", err)
	}
	return s.lost(how)
}

func (s *share) lost(how string) error {
	return &vm.EnvironmentError{
		What: fmt.Sprintf("worker %d %s while %s", s.orders.Number, how, s.doing),
		Do:   fmt.Sprintf("read %s, and if this machine is short of memory, run fewer with --workers", s.log()),
	}
}

// EnvironmentError is that of a run that could not be carried out: a machine, a tool or a file is at fault, not a subject.
type EnvironmentError = vm.EnvironmentError
