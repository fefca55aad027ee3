// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// orphanGrace is how long output is waited for after a program has exited and left children that hold its output.
const orphanGrace = 500 * time.Millisecond

// run runs a program in a process group of its own. The group is killed when its time is up, when the host lets go of the
// stream, and when the session ends.
func run(ctx context.Context, _ *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.Run](raw)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if args.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, args.Timeout, errTimedOut)
		defer stop()
	}
	messages := &lockedWriter{w: st}
	p := process{cmd: exec.CommandContext(ctx, args.Path, args.Args...)}
	p.prepare(args, messages)
	start := time.Now()
	if err := p.start(messages); err != nil {
		return nil, err
	}
	go p.obey(st, cancel) // ends with the stream
	err = p.cmd.Wait()
	p.closeStdin()
	exit := wire.Exit{Duration: time.Since(start), TimedOut: context.Cause(ctx) == errTimedOut}
	if p.cmd.ProcessState == nil {
		return nil, fmt.Errorf("wait for %s: %w", args.Path, err)
	}
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		exit.Signal = int(status.Signal())
	}
	exit.Code = p.cmd.ProcessState.ExitCode()
	return exit, nil
}

var errTimedOut = errors.New("its time is up")

// A process is a program that runs for the host.
type process struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	stdin io.WriteCloser // nil once closed
}

func (p *process) prepare(args wire.Run, messages io.Writer) {
	p.cmd.Env = append(os.Environ(), args.Env...)
	p.cmd.Dir = args.Dir
	p.cmd.Stdout = &outputWriter{messages, wire.Stdout}
	p.cmd.Stderr = &outputWriter{messages, wire.Stderr}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = orphanGrace
	p.cmd.Cancel = func() error { return p.signal(syscall.SIGKILL) }
	if args.Stdin {
		p.stdin, _ = p.cmd.StdinPipe() // fails only if Stdin is set already
	}
}

// start starts the program and tells the host so, before it tells anything that the program prints.
func (p *process) start(messages *lockedWriter) error {
	messages.mu.Lock()
	defer messages.mu.Unlock()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	// A host that is gone cannot be told; its letting go ends the program.
	_ = wire.WriteJSON(messages.w, wire.Started, wire.Process{PID: p.cmd.Process.Pid})
	return nil
}

// signal sends a signal to the whole group.
func (p *process) signal(s syscall.Signal) error {
	err := syscall.Kill(-p.cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// obey does what the host says while the program runs: input, signals. When the host lets go, the program is killed.
func (p *process) obey(st *stream, cancel context.CancelCauseFunc) {
	for {
		kind, body, err := wire.ReadMessage(st)
		if err != nil {
			cancel(fmt.Errorf("the host let go: %w", err))
			return
		}
		switch kind {
		case wire.Stdin:
			p.writeStdin(body)
		case wire.End:
			p.closeStdin()
		case wire.Signal:
			var number wire.SignalNumber
			if json.Unmarshal(body, &number) == nil {
				_ = p.signal(syscall.Signal(number.Signal)) // it may have just exited; the host will hear so
			}
		}
	}
}

// writeStdin gives the program input; one that does not read it any more is no fault of the host.
func (p *process) writeStdin(data []byte) {
	p.mu.Lock()
	stdin := p.stdin
	p.mu.Unlock()
	if stdin != nil {
		_, _ = stdin.Write(data)
	}
}

func (p *process) closeStdin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		p.stdin.Close()
		p.stdin = nil
	}
}

// An outputWriter sends what a program prints.
type outputWriter struct {
	messages io.Writer
	kind     wire.Kind
}

func (w *outputWriter) Write(p []byte) (int, error) {
	if err := wire.WriteMessage(w.messages, w.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
