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
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// stopTime is how long a worker may take to end its spec and take down its lab after it was told to stop.
const stopTime = 45 * time.Second

// share is one worker's part of a run, as its supervisor sees it.
type share struct {
	orders   orders
	progress *progress
	journal  *verdict.Writer

	err  error // why the worker could not go on
	done bool  // it took its lab down in good order
}

// run starts the worker and follows it to its end. A worker that cannot go on gives an *EnvironmentError.
func (s *share) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program to start worker %d: %w", s.orders.Number, err)
	}
	input, err := json.Marshal(s.orders)
	if err != nil {
		return fmt.Errorf("encode the orders of worker %d: %w", s.orders.Number, err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe to worker %d: %w", s.orders.Number, err)
	}
	defer reader.Close()

	var stderr bytes.Buffer
	worker := exec.CommandContext(ctx, self, "worker")
	worker.Stdin = bytes.NewReader(input)
	worker.Stderr = &stderr
	worker.ExtraFiles = []*os.File{writer}
	worker.Cancel = func() error { return worker.Process.Signal(os.Interrupt) }
	worker.WaitDelay = stopTime
	// A group of its own: Ctrl-C reaches the supervisor alone, which then stops the workers in order.
	worker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := startBound(worker); err != nil {
		writer.Close()
		return fmt.Errorf("start worker %d: %w", s.orders.Number, err)
	}
	writer.Close()

	followErr := s.follow(reader)
	waitErr := worker.Wait()
	switch {
	case s.err != nil:
		return s.err
	case followErr != nil:
		return followErr
	case ctx.Err() != nil:
		return ctx.Err()
	case !s.done:
		return &EnvironmentError{fmt.Sprintf("worker %d died: %v\n%s", s.orders.Number, waitErr, lastLines(stderr.String(), 20))}
	}
	return nil
}

// follow reads what the worker says until it closes its end.
func (s *share) follow(r io.Reader) error {
	dec := json.NewDecoder(r)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return fmt.Errorf("read from worker %d: %w", s.orders.Number, err)
		}
		if err := s.take(m); err != nil {
			return err
		}
	}
}

func (s *share) take(m message) error {
	switch m.Kind {
	case ready:
		s.progress.ready(s.orders.Number)
		h := s.journal.Run().Header
		h.Environment.Accelerator = m.Text
		return s.journal.SetHeader(h)
	case begun:
		s.progress.begun(s.orders.Number, m.Spec)
	case ended:
		s.progress.ended(s.orders.Number, m.Spec, m.Verdict, m.Results)
		for _, r := range m.Results {
			if err := s.journal.Append(r); err != nil {
				return err
			}
		}
	case failed:
		s.err = &EnvironmentError{m.Text}
	case closed:
		s.done = true
		return s.unloaded(m.Results)
	}
	return nil
}

// unloaded records how the subjects of this worker's lab unloaded. All workers say the same unless one fails, so the first
// speaks for those that have nothing to tell.
func (s *share) unloaded(results []verdict.Result) error {
	for _, r := range results {
		if r.Verdict == verdict.Pass && s.orders.Number != 0 {
			continue
		}
		if err := s.journal.Append(r); err != nil {
			return err
		}
	}
	return nil
}

// EnvironmentError is a run that could not be carried out: a machine, a tool or a file is at fault, not a subject. Its text
// says what, where, and what to do.
type EnvironmentError struct{ Text string }

func (e *EnvironmentError) Error() string { return e.Text }

func lastLines(text string, n int) string {
	lines := bytes.Split(bytes.TrimSpace([]byte(text)), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
