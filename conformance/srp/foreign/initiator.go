// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
)

// The actions of a control hook for an initiator; initiatorHelp says what each has to do.
const (
	Add       foreign.Action = "add"
	Delete    foreign.Action = "delete"
	ShowPort  foreign.Action = "port"
	Set       foreign.Action = "set"
	Reconnect foreign.Action = "reconnect"
)

// initiatorHelp says what a control hook has to do for an initiator.
const initiatorHelp = `For an initiator of SRP (--protocol srp), scripted targets wait on the addresses of --source (two for nearly
all specs, four for all), and the owner's command has it come; times are in seconds, or off, or default, which leaves them as they are:

  add LOGIN FAST_IO_FAIL DEV_LOSS RECONNECT_DELAY
                                    logs in with what ib_srp takes as add_target, sets the timers of the port, and says the node of
                                    the disk under number 0; if it fails, the last line on standard error is the name of the error
                                    number, and behind it what the initiator tells its user or its log, with the reason of a reject
  delete NODE                       deletes the port
  port NODE                         says on lines NAME=VALUE the state of the port (state: running, blocked, fail-fast, or lost, also
                                    if it is not there) and, where it can, failed_reconnects, fast_io_fail_tmo, dev_loss_tmo and
                                    reconnect_delay
  set NODE NAME VALUE...            changes timers of the port, by these names; all of them or none
  reconnect NODE                    has a lost port log in now
  read NODE OFFSET SIZE             says what the disk has there, in bytes
  write NODE OFFSET SIZE            writes what comes on standard input; both end upon SIGTERM, and give up what they have asked for
`

// hookInitiator is an initiator that is used through its owner's control hook, for the time of one spec.
type hookInitiator struct {
	hook   foreign.Hook
	giveUp context.CancelCauseFunc // ends the spec: an action is lacking that each needs
}

// call has the hook do an action. An error of the initiator has the number that the hook tells, or is ErrNoNumber.
func (i *hookInitiator) call(ctx context.Context, input []byte, action foreign.Action, arguments ...string) ([]byte, error) {
	says, err := i.hook.Call(ctx, foreign.Call{Action: action, Arguments: arguments, Input: input})
	failed, is := errors.AsType[*foreign.FailedError](err)
	if is {
		return nil, fmt.Errorf("%w: %w", err, numberOf(failed.Said))
	}
	return says, err
}

// needed is call for an action without which nothing can be judged.
func (i *hookInitiator) needed(ctx context.Context, input []byte, action foreign.Action, arguments ...string) ([]byte, error) {
	says, err := i.call(ctx, input, action, arguments...)
	if errors.Is(err, foreign.ErrNotSupported) {
		i.giveUp(err)
	}
	return says, err
}

// mostErrno is beyond the last error number that has a name.
const mostErrno = 200

// numbers are the error numbers by their names.
var numbers = sync.OnceValue(func() map[string]syscall.Errno {
	all := make(map[string]syscall.Errno)
	for n := syscall.Errno(1); n < mostErrno; n++ {
		if name := unix.ErrnoName(n); name != "" {
			all[name] = n
		}
	}
	return all
})

// numberOf is the error number whose name a line begins with, or ErrNoNumber.
func numberOf(line string) error {
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if n, known := numbers()[name]; known {
		return n
	}
	return provocations.ErrNoNumber
}

// Timers are those that the clauses name.
func (i *hookInitiator) Timers() provocations.Timers { return provocations.DefaultTimers }

// seconds writes a time as a hook has it.
func seconds(d time.Duration) string {
	switch {
	case d == 0:
		return "default"
	case d < 0:
		return "off"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// Add logs in to a target.
func (i *hookInitiator) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	says, err := i.needed(ctx, nil, Add, login, seconds(t.FastIOFail), seconds(t.DevLoss), seconds(t.ReconnectDelay))
	if err != nil {
		return nil, err
	}
	node, err := foreign.NodeOf(Add, says)
	if err != nil {
		return nil, err
	}
	return &hookDisk{foreign.HookDisk{Node: node, Call: i.needed}, i}, nil
}

// hookDisk is the disk of a port.
type hookDisk struct {
	foreign.HookDisk
	initiator *hookInitiator
}

// samplePeriod is the pause between two looks at a port, of which hooks tell no event.
const samplePeriod = 50 * time.Millisecond

func (d *hookDisk) AwaitState(ctx context.Context, want string) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	last := errors.New("nobody has looked")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", last, context.Cause(ctx))
		case <-pause.C:
		}
		p, err := d.Port(ctx)
		switch {
		case err == nil && p.State == want:
			return nil
		case err == nil:
			last = fmt.Errorf("it is %s", p.State)
		case ctx.Err() == nil: // a look that ctx has cut off has seen nothing
			last = err
		}
		pause.Reset(samplePeriod)
	}
}

func (d *hookDisk) Port(ctx context.Context) (p provocations.Port, err error) {
	says, err := d.initiator.needed(ctx, nil, ShowPort, d.Node)
	if err != nil {
		return p, err
	}
	facts := make(map[string]string)
	for line := range strings.Lines(string(says)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			facts[name] = value
		}
	}
	p.State, p.Failures = facts["state"], -1
	if text, told := facts["failed_reconnects"]; told {
		if p.Failures, err = strconv.Atoi(text); err != nil {
			return p, fmt.Errorf("control hook: %s says failed_reconnects=%q, and must say a number", ShowPort, text)
		}
	}
	for name, to := range names(&p.Times) {
		if *to, err = duration(facts[name]); err != nil {
			return p, fmt.Errorf("control hook: %s says %s=%q, and must say seconds or off", ShowPort, name, facts[name])
		}
	}
	return p, nil
}

// names are the timers by the names of their files.
func names(t *provocations.Times) map[string]*time.Duration {
	return map[string]*time.Duration{"fast_io_fail_tmo": &t.FastIOFail, "dev_loss_tmo": &t.DevLoss, "reconnect_delay": &t.ReconnectDelay}
}

// duration reads seconds or off; 0 of what is not told.
func duration(text string) (time.Duration, error) {
	switch text {
	case "":
		return 0, nil
	case "off":
		return provocations.Off, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	return time.Duration(n * float64(time.Second)), err
}

// Set changes the timers that are not 0.
func (d *hookDisk) Set(ctx context.Context, t provocations.Times) error {
	arguments := []string{d.Node}
	for _, name := range []string{"fast_io_fail_tmo", "dev_loss_tmo", "reconnect_delay"} {
		if v := *names(&t)[name]; v != 0 {
			arguments = append(arguments, name, seconds(v))
		}
	}
	_, err := d.initiator.call(ctx, nil, Set, arguments...)
	if errors.Is(err, foreign.ErrNotSupported) {
		return provocations.ErrNoSet
	}
	return err
}

func (d *hookDisk) Reconnect(ctx context.Context) error {
	_, err := d.initiator.call(ctx, nil, Reconnect, d.Node)
	if errors.Is(err, foreign.ErrNotSupported) {
		return provocations.ErrNoReconnect
	}
	return err
}

// Delete also happens when the spec was given up: nothing of it shall stay on a machine of somebody else.
func (d *hookDisk) Delete(ctx context.Context) error {
	_, err := d.initiator.needed(context.WithoutCancel(ctx), nil, Delete, d.Node)
	return err
}

// steered does something with the initiator of a run. When the hook lacks an action, the error is that, whatever was made of it.
func steered(ctx context.Context, r *foreign.InitiatorRun, do func(context.Context, provocations.Setup) error) error {
	within, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	c := r.Config()
	err := do(within, provocations.Setup{
		Initiator: &hookInitiator{c.Hook, giveUp}, Devices: r.Devices(), Patience: cmp.Or(c.Patience, provocations.DefaultPatience),
	})
	if lacking := context.Cause(within); errors.Is(lacking, foreign.ErrNotSupported) {
		return lacking
	}
	return err
}

// use has the initiator use the disk of an ordinary target.
func use(ctx context.Context, r *foreign.InitiatorRun) error {
	return steered(ctx, r, provocations.UseOrdinary)
}

// provoking is what a provocation takes about, beside its timers, on an initiator that behaves.
const provoking = 2 * time.Second

// InitiatorSpecs are all specs for an initiator.
func InitiatorSpecs() []foreign.Spec {
	var all []foreign.Spec
	for _, c := range provocations.All() {
		all = append(all, foreign.Spec{
			Name: c.Spec(), Clauses: append([]string{provocations.Survival}, c.Clauses...), Survival: provocations.Survival,
			Takes: provoking + c.Takes, Addresses: c.Needs(), Needs: Add,
			OnInitiator: func(ctx context.Context, r *foreign.InitiatorRun) error {
				return steered(ctx, r, func(ctx context.Context, on provocations.Setup) error { return provocations.Execute(ctx, on, c) })
			},
		})
	}
	return all
}
