// SPDX-License-Identifier: Apache-2.0

package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Host is one machine of a lab.
type Host interface {
	Name() string
	// About says on one line where it is on the wire, and whether it lives.
	About() string
	// Shell runs a shell, with the command or, where that is "", with what comes from stdin. An error is that of its end.
	Shell(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error
	// Load loads a kernel module.
	Load(ctx context.Context, module string, params ...string) error
	// KernelLog gives the last lines of the kernel log, n at most.
	KernelLog(ctx context.Context, n int) ([]string, error)
	// Do does one of the things in [hostActions].
	Do(ctx context.Context, action string) error
}

// hostActions are what can be done to a host.
var hostActions = map[string]string{
	"reboot":  "reset the machine, without a word to the guest",
	"kill":    "end the machine at once, as a loss of power does",
	"replace": "give the host a new machine",
	"hang":    "stop its CPUs, with its links up",
	"resume":  "let them run again",
}

// Recording is a recording of all rails.
type Recording interface {
	Paths() []string
	Close() error
}

// Console is a lab as a person works with it. Its functions are those of vm.Lab.
type Console struct {
	Hosts  []Host
	Fabric *fabric.Fabric
	Record func(dir, note string) (Recording, error)
	Reset  func(ctx context.Context) error
	Out    io.Writer
	Prompt bool // show what is waited for, and go on after an error: a person types

	lines     <-chan string
	recording Recording
	faults    []*fabric.Handle // numbered from 1
}

var errQuit = errors.New("quit")

// usageError is a line that nobody understands.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// Usage says whether an error is of what was typed, and not of the lab.
func Usage(err error) bool {
	var wrong *usageError
	return errors.As(err, &wrong)
}

// Run reads lines and does what they say, until they end or ctx does. A recording that goes on is ended.
func (b *Console) Run(ctx context.Context, in io.Reader) error {
	b.lines = lines(ctx, in)
	err := b.follow(ctx)
	if b.recording != nil {
		err = errors.Join(err, b.endRecording())
	}
	return err
}

func (b *Console) follow(ctx context.Context) error {
	for number := 1; ; number++ {
		line, more := b.next(ctx, "lab> ")
		if !more {
			return context.Cause(ctx)
		}
		err := b.line(ctx, line)
		switch {
		case errors.Is(err, errQuit):
			return nil
		case err == nil:
		case b.Prompt:
			fmt.Fprintf(b.Out, "%v\n", err)
		default:
			return fmt.Errorf("line %d (%s): %w", number, line, err)
		}
	}
}

// lines reads lines until there are no more, or nobody wants them any more.
func lines(ctx context.Context, in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case out <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// next gives the next line, false at the end.
func (b *Console) next(ctx context.Context, prompt string) (string, bool) {
	if b.Prompt {
		fmt.Fprint(b.Out, prompt)
	}
	select {
	case line, more := <-b.lines:
		return line, more
	case <-ctx.Done():
		return "", false
	}
}

// line does what one line says. An empty line and one that begins with # say nothing.
func (b *Console) line(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil
	}
	for _, c := range commands() {
		if c.name == words[0] {
			return c.run(b, ctx, words[1:])
		}
	}
	return usage("%q is no command; help lists them", words[0])
}

// host finds a host by its name.
func (b *Console) host(name string) (Host, error) {
	var names []string
	for _, h := range b.Hosts {
		if h.Name() == name {
			return h, nil
		}
		names = append(names, h.Name())
	}
	return nil, usage("there is no host %q; hosts are %s", name, strings.Join(names, ", "))
}

func (b *Console) say(format string, args ...any) { fmt.Fprintf(b.Out, format+"\n", args...) }

func (b *Console) endRecording() error {
	recording := b.recording
	b.recording = nil
	if err := recording.Close(); err != nil {
		return fmt.Errorf("end the recording: %w", err)
	}
	b.say("recorded: %s", strings.Join(recording.Paths(), " "))
	return nil
}
