// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// Action is something that only the owner of a target or an initiator can do. A protocol has more of them, for initiators.
type Action string

// The actions of all protocols; the package comment says what each has to do.
const (
	Status  Action = "status"
	Restart Action = "restart"
	Crash   Action = "crash"
	// Configure is of targets alone.
	Configure Action = "configure"
)

// ErrNotSupported says that there is no hook, or that it does not know an action.
var ErrNotSupported error = &finding.Undecided{Reason: verdict.NoHook, Text: "not supported by the control hook"}

// Hook is the command by which a target or an initiator is controlled, with its arguments; none for no hook. It is run without
// a shell.
type Hook []string

const (
	notSupported = 127              // exit status
	hookTime     = 2 * time.Minute  // for one action
	hookGoes     = 10 * time.Second // for a command that was told to end
)

// ParseHook splits a command line at blanks, and looks whether its program is there: a shell says 127 of a program that is
// not, which would be taken for an answer.
func ParseHook(line string) (Hook, error) {
	hook := Hook(strings.Fields(line))
	if len(hook) == 0 {
		return nil, errors.New("the command is empty")
	}
	path, err := exec.LookPath(hook[0])
	if err != nil {
		return nil, fmt.Errorf("the command cannot be run: %w", err)
	}
	hook[0] = path
	return hook, nil
}

// Do has an action done, and returns what the command wrote to its standard output. An action that the hook does not know is
// ErrNotSupported.
func (h Hook) Do(ctx context.Context, action Action, environment ...string) (string, error) {
	says, err := h.Call(ctx, Call{Action: action, Environment: environment})
	return string(says), err
}

// Call is one call of a hook.
type Call struct {
	Action      Action
	Arguments   []string // behind the action
	Input       []byte   // on standard input
	Environment []string // beside that of this process
}

// FailedError says that a hook could not do an action.
type FailedError struct {
	What string // command and action
	Said string // the last line of its standard error
	Err  error  // how it ended
}

// Error says what failed, how, and what the hook says of it.
func (e *FailedError) Error() string {
	return fmt.Sprintf("control hook: %s: %v: %s", e.What, e.Err, e.Said)
}

// Unwrap gives the way in which the hook ended.
func (e *FailedError) Unwrap() error { return e.Err }

// Call runs the command as [Hook.Do], with all that a call can have.
func (h Hook) Call(ctx context.Context, c Call) ([]byte, error) {
	if len(h) == 0 {
		return nil, fmt.Errorf("%s: %w: there is none", c.Action, ErrNotSupported)
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, h[0], slices.Concat(h[1:], []string{string(c.Action)}, c.Arguments)...)
	cmd.Env = append(os.Environ(), c.Environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Input), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = hookGoes
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the service that it started has kept its output open
	}
	switch {
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == notSupported:
		return nil, fmt.Errorf("%s: %w", c.Action, ErrNotSupported)
	case err != nil:
		return nil, &FailedError{strings.Join(h, " ") + " " + string(c.Action), lastLine(stderr.String()), err}
	}
	return stdout.Bytes(), nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// facts reads the lines NAME=VALUE of a status. Other lines say nothing.
func facts(status string) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(status) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && name != "" && !strings.ContainsAny(name, " \t") {
			all[name] = value
		}
	}
	return all
}
