// SPDX-License-Identifier: Apache-2.0

package prompt

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// command is one word that a line can begin with.
type command struct {
	name, takes, does string
	run               func(b *Console, ctx context.Context, args []string) error
}

// commands are all of them, in the order of help.
func commands() []command {
	all := []command{
		{"help", "", "list the commands", (*Console).help},
		{"hosts", "", "list the hosts, with their addresses", (*Console).listHosts},
		{"on", "HOST COMMAND...", "run a shell command on a host", (*Console).on},
		{"shell", "HOST", "give the following lines, up to one that says exit, to a shell on a host", (*Console).shell},
		{"load", "HOST MODULE [PARAM=VALUE...]", "load a kernel module", (*Console).load},
		{"log", "HOST [LINES]", "show the end of the kernel log, 20 lines", (*Console).log},
		{"capture", "start DIRECTORY | stop", "record all rails into pcapng files", (*Console).capture},
		{"fault", "add RAIL FAULT... | list | remove NUMBER | clear", "break the wire; 'fault help' tells how", (*Console).fault},
		{"events", "[LINES]", "show the last of what happened on the wire, 20 lines", (*Console).events},
		{"wait", "DURATION", "wait, such as 10s", (*Console).wait},
		{"reset", "", "take faults away, wake hung hosts, replace dead ones", (*Console).reset},
		{"quit", "", "end the lab", func(*Console, context.Context, []string) error { return errQuit }},
	}
	for _, action := range slices.Sorted(maps.Keys(hostActions)) {
		all = append(all, command{action, "HOST", hostActions[action], func(b *Console, ctx context.Context, args []string) error {
			return b.do(ctx, action, args)
		}})
	}
	return all
}

func (b *Console) help(context.Context, []string) error {
	for _, c := range commands() {
		b.say("  %-48s %s", c.name+" "+c.takes, c.does)
	}
	return nil
}

func (b *Console) listHosts(context.Context, []string) error {
	for _, h := range b.Hosts {
		b.say("%s: %s", h.Name(), h.About())
	}
	return nil
}

func (b *Console) on(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return usage("on takes a host and a command")
	}
	h, err := b.host(args[0])
	if err != nil {
		return err
	}
	return h.Shell(ctx, strings.Join(args[1:], " "), nil, b.Out)
}

// shell feeds lines to a shell until one says exit, or there are no more.
func (b *Console) shell(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return usage("shell takes a host")
	}
	h, err := b.host(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input, feed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := h.Shell(ctx, "", input, b.Out)
		input.CloseWithError(io.ErrClosedPipe) // lines for a shell that is gone go nowhere
		ended <- err
	}()
	for {
		line, more := b.next(ctx, h.Name()+"# ")
		if !more || strings.TrimSpace(line) == "exit" {
			break
		}
		if _, err := io.WriteString(feed, line+"\n"); err != nil {
			break
		}
	}
	feed.Close()
	return <-ended
}

func (b *Console) load(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return usage("load takes a host and a module")
	}
	h, err := b.host(args[0])
	if err != nil {
		return err
	}
	return h.Load(ctx, args[1], args[2:]...)
}

func (b *Console) do(ctx context.Context, action string, args []string) error {
	if len(args) != 1 {
		return usage("%s takes a host", action)
	}
	h, err := b.host(args[0])
	if err != nil {
		return err
	}
	return h.Do(ctx, action)
}

// usualLines is how much of a log is shown.
const usualLines = 20

// count reads a number of lines, which may be left out.
func count(args []string) (int, error) {
	if len(args) == 0 {
		return usualLines, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 || len(args) > 1 {
		return 0, usage("%q is no number of lines", strings.Join(args, " "))
	}
	return n, nil
}

func (b *Console) log(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("log takes a host")
	}
	n, err := count(args[1:])
	if err != nil {
		return err
	}
	h, err := b.host(args[0])
	if err != nil {
		return err
	}
	records, err := h.KernelLog(ctx, n)
	for _, r := range records {
		b.say("%s", r)
	}
	return err
}

func (b *Console) capture(_ context.Context, args []string) (err error) {
	switch {
	case len(args) == 2 && args[0] == "start":
		if b.recording != nil {
			return usage("a recording is going on: capture stop ends it")
		}
		if err := os.MkdirAll(args[1], 0o755); err != nil {
			return err
		}
		b.recording, err = b.Record(args[1], "by hand")
		return err
	case len(args) == 1 && args[0] == "stop":
		if b.recording == nil {
			return usage("there is no recording: capture start DIRECTORY begins one")
		}
		return b.endRecording()
	}
	return usage("capture takes start DIRECTORY, or stop")
}

func (b *Console) events(_ context.Context, args []string) error {
	n, err := count(args)
	if err != nil {
		return err
	}
	all, _ := b.Fabric.Events(0)
	for _, e := range all[max(0, len(all)-n):] {
		b.say("%s %s", e.At.Format("15:04:05.000"), e)
	}
	return nil
}

func (b *Console) wait(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return usage("wait takes a duration")
	}
	d, err := time.ParseDuration(args[0])
	if err != nil || d < 0 {
		return usage("%q is no duration, such as 10s", args[0])
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *Console) reset(ctx context.Context, _ []string) error {
	b.faults = nil
	return b.Reset(ctx)
}

func (b *Console) fault(_ context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"list"}
	}
	switch {
	case args[0] == "help":
		b.say("%s", faultHelp())
		return nil
	case args[0] == "list" && len(args) == 1:
		b.listFaults()
		return nil
	case args[0] == "add" && len(args) > 2:
		return b.addFault(args[1], args[2:])
	case args[0] == "remove" && len(args) == 2:
		return b.removeFault(args[1])
	case args[0] == "clear" && len(args) == 1:
		b.faults = nil
		return b.Fabric.Reset()
	}
	return usage("fault takes add RAIL FAULT..., list, remove NUMBER, clear, or help")
}

// addFault puts a fault on a rail, or on all of them.
func (b *Console) addFault(rail string, words []string) error {
	f, err := ParseFault(words)
	if err != nil {
		return err
	}
	found := false
	var names []string
	for _, r := range b.Fabric.Rails() {
		names = append(names, r.Name())
		if rail != r.Name() && rail != "all" {
			continue
		}
		found = true
		handle, err := r.Inject(f)
		if err != nil {
			return err
		}
		b.faults = append(b.faults, handle)
		b.say("fault %d: %s", len(b.faults), handle)
	}
	if !found {
		return usage("there is no rail %q; rails are %s, and all", rail, strings.Join(names, ", "))
	}
	return nil
}

func (b *Console) listFaults() {
	for i, handle := range b.faults {
		b.say("fault %d: %s: %s", i+1, handle, stateOf(handle))
	}
}

func stateOf(handle *fabric.Handle) string {
	s := handle.Stats()
	state := fmt.Sprintf("matched %d, applied %d", s.Matched, s.Applied)
	select {
	case <-handle.Done():
		return state + ", over"
	default:
		return state
	}
}

func (b *Console) removeFault(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(b.faults) {
		return usage("there is no fault %s: there are %d", number, len(b.faults))
	}
	return b.faults[n-1].Remove()
}
