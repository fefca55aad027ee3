// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// A Command is a program to run in the guest.
type Command struct {
	// Path of the program, or a name to look for in the guest's PATH.
	Path string
	// Args are its arguments, without its own name.
	Args []string
	// Env adds KEY=value to the agent's own environment.
	Env []string
	// Dir is its working directory; "" is the root directory.
	Dir string
	// Stdin is its input; nil is none.
	Stdin io.Reader
	// Stdout and Stderr get its output as it comes. What has no writer is collected in the Result.
	Stdout, Stderr io.Writer
	// Timeout kills it, by the guest's clock; 0 is none.
	Timeout time.Duration
}

func (c Command) String() string { return strings.Join(append([]string{c.Path}, c.Args...), " ") }

// A Result says how a program ended.
type Result struct {
	// ExitCode is its status, or -1 if a signal ended it.
	ExitCode int
	// Signal ended it, or 0.
	Signal syscall.Signal
	// TimedOut says that its Timeout did.
	TimedOut bool
	// Duration by the guest's clock.
	Duration time.Duration
	// Stdout and Stderr are what no writer was given for.
	Stdout, Stderr []byte
}

// Err is nil if the program ended with status 0, and else an error that says how it ended, with what it last said.
func (r *Result) Err() error {
	var how string
	switch {
	case r.TimedOut:
		how = fmt.Sprintf("killed when its time was up, after %v", r.Duration.Round(time.Millisecond))
	case r.Signal != 0:
		how = fmt.Sprintf("ended by signal %v", r.Signal)
	case r.ExitCode != 0:
		how = fmt.Sprintf("exit status %d", r.ExitCode)
	default:
		return nil
	}
	if said := strings.TrimSpace(string(r.Stderr)); said != "" {
		how += ": " + said
	}
	return errors.New(how)
}

// Run runs a program in the guest to its end. An error says that it did not run or that its end was not seen; how it
// ended, well or badly, is in the Result. When ctx ends, the program and all of its process group are killed.
func (c *Client) Run(ctx context.Context, command Command) (*Result, error) {
	process, err := c.Start(ctx, command)
	if err != nil {
		return nil, err
	}
	return process.Wait()
}

// Output runs a program and returns its standard output. Any end but status 0 is an error.
func (c *Client) Output(ctx context.Context, path string, args ...string) (string, error) {
	command := Command{Path: path, Args: args}
	result, err := c.Run(ctx, command)
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		return "", fmt.Errorf("guest run %q: %w", command, err)
	}
	return string(result.Stdout), nil
}

// A Process is a program that runs in the guest.
type Process struct {
	// PID is its process id in the guest, and that of its process group.
	PID int

	st      *stream
	writing sync.Mutex
	stdout  io.Writer
	stderr  io.Writer
	out     bytes.Buffer
	err     bytes.Buffer
	done    chan struct{}
	result  *Result
	failure error
}

// Start starts a program in the guest. It runs until it ends, until it is killed, or until ctx ends.
func (c *Client) Start(ctx context.Context, command Command) (*Process, error) {
	command = c.altered(command)
	st, err := c.begin(ctx, wire.OpRun, wire.Run{Path: command.Path, Args: command.Args, Env: command.Env,
		Dir: command.Dir, Stdin: command.Stdin != nil, Timeout: command.Timeout})
	if err != nil {
		return nil, err
	}
	p := &Process{st: st, stdout: command.Stdout, stderr: command.Stderr, done: make(chan struct{})}
	if p.stdout == nil {
		p.stdout = &p.out
	}
	if p.stderr == nil {
		p.stderr = &p.err
	}
	if err := p.awaitStart(); err != nil {
		st.finish()
		return nil, err
	}
	go p.watch()
	if command.Stdin != nil {
		go p.feed(command.Stdin)
	}
	return p, nil
}

func (p *Process) awaitStart() error {
	kind, body, err := p.st.receive()
	if err != nil {
		return err
	}
	if kind != wire.Started {
		return p.st.unexpected(kind)
	}
	var started wire.Process
	err = p.st.decode(body, &started)
	p.PID = started.PID
	return err
}

// watch takes the program's output until it ends.
func (p *Process) watch() {
	defer close(p.done)
	defer p.st.finish()
	for p.result == nil && p.failure == nil {
		kind, body, err := p.st.receive()
		switch {
		case err != nil:
			p.failure = err
		case kind == wire.Stdout:
			_, p.failure = p.stdout.Write(body)
		case kind == wire.Stderr:
			_, p.failure = p.stderr.Write(body)
		case kind == wire.Reply:
			p.result, p.failure = p.ended(body)
		default:
			p.failure = p.st.unexpected(kind)
		}
	}
}

func (p *Process) ended(body []byte) (*Result, error) {
	var exit wire.Exit
	if err := p.st.decode(body, &exit); err != nil {
		return nil, err
	}
	return &Result{ExitCode: exit.Code, Signal: syscall.Signal(exit.Signal), TimedOut: exit.TimedOut,
		Duration: exit.Duration, Stdout: p.out.Bytes(), Stderr: p.err.Bytes()}, nil
}

// feed gives the program its input. It may end before it has read all.
func (p *Process) feed(stdin io.Reader) {
	_, err := io.Copy(&messageWriter{p, wire.Stdin}, stdin)
	if err == nil {
		_ = p.message(wire.End, nil) // if the guest is gone, watch says so
	}
}

// message sends one message whole, among those of other goroutines.
func (p *Process) message(kind wire.Kind, body []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	return wire.WriteMessage(p.st, kind, body)
}

type messageWriter struct {
	process *Process
	kind    wire.Kind
}

func (w *messageWriter) Write(data []byte) (int, error) {
	written := 0
	for part := range chunks(data) {
		if err := w.process.message(w.kind, part); err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// chunks cuts data into pieces of ChunkSize.
func chunks(data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(len(data), wire.ChunkSize)
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

// Wait waits for the program's end. An error says that the end was not seen: the context of Start ended, the guest is
// gone, or a writer of its output failed.
func (p *Process) Wait() (*Result, error) {
	<-p.done
	return p.result, p.failure
}

// Done is closed when Wait would not wait.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the program's process group. It is no error if the program has just ended.
func (p *Process) Signal(signal syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	body := fmt.Sprintf(`{"signal":%d}`, int(signal))
	if err := p.message(wire.Signal, []byte(body)); err != nil {
		return p.st.failed(err)
	}
	return nil
}

// Kill kills the program and its process group.
func (p *Process) Kill() error { return p.Signal(syscall.SIGKILL) }
