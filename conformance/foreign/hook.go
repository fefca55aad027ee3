// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Action is something that only the owner of a target can do.
type Action string

// The actions; the package comment says what each has to do.
const (
	Status  Action = "status"
	Restart Action = "restart"
	Crash   Action = "crash"
)

// ErrNotSupported says that there is no hook, or that it does not know an action.
var ErrNotSupported = errors.New("not supported by the control hook")

// Hook is the command by which a target is controlled, with its arguments; none for no hook. It is run without a shell.
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
	if len(h) == 0 {
		return "", fmt.Errorf("%s: %w: there is none", action, ErrNotSupported)
	}
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, h[0], append(h[1:len(h):len(h)], string(action))...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = hookGoes
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the service that it started has kept its output open
	}
	switch {
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == notSupported:
		return "", fmt.Errorf("%s: %w", action, ErrNotSupported)
	case err != nil:
		return "", fmt.Errorf("control hook: %s %s: %w: %s", strings.Join(h, " "), action, err, lastLine(stderr.String()))
	}
	return stdout.String(), nil
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
