// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// The actions of a control hook for an initiator; the package comment says what each has to do.
const (
	Map        foreign.Action = "map"
	MapAnother foreign.Action = "map-another"
	Unmap      foreign.Action = "unmap"
	State      foreign.Action = "state"
	Reconnect  foreign.Action = "reconnect"
	AddPath    foreign.Action = "add-path"
	RemovePath foreign.Action = "remove-path"
	Flush      foreign.Action = "flush"
	Size       foreign.Action = "size"
)

// scripted is the name of the disk of a scripted server.
const scripted = "scripted"

// anotherScripted is the name of another: a scripted server has its disk under any.
const anotherScripted = "another"

// ControlledInitiator is an initiator that is used through its owner's control hook, for the time of one spec. It implements
// [provocations.Initiator].
type ControlledInitiator struct {
	hook     foreign.Hook
	ordinary netip.AddrPort          // where the ordinary server listens
	giveUp   context.CancelCauseFunc // ends the spec: an action is lacking
	timers   subject.Timers
}

// call has the hook do an action. An error of the initiator has the number that the hook tells, or is ErrNoNumber.
func (i *ControlledInitiator) call(ctx context.Context, input []byte, action foreign.Action, arguments ...string) ([]byte, error) {
	says, err := i.hook.Call(ctx, foreign.Call{Action: action, Arguments: arguments, Input: input})
	var failed *foreign.FailedError
	switch {
	case errors.Is(err, foreign.ErrNotSupported):
		i.giveUp(err)
	case errors.As(err, &failed):
		return nil, fmt.Errorf("%w: %w", err, numberOf(failed.Said))
	}
	return says, err
}

// numbers are the error numbers by their names.
var numbers = sync.OnceValue(func() map[string]ibtrs.Errno {
	all := make(map[string]ibtrs.Errno)
	for n := ibtrs.EPERM; n <= ibtrs.ENOTSUPP; n++ {
		all[n.String()] = n
	}
	return all
})

// numberOf is the error number whose name a line is, or ErrNoNumber.
func numberOf(line string) error {
	if n, known := numbers()[strings.TrimSpace(line)]; known {
		return n
	}
	return provocations.ErrNoNumber
}

// Timers are those of the protocol.
func (i *ControlledInitiator) Timers() subject.Timers { return i.timers }

// Map maps the disk of a scripted server, which listens at the default port.
func (i *ControlledInitiator) Map(ctx context.Context, server ...netip.Addr) (provocations.Disk, error) {
	d, err := i.mapDisk(ctx, netip.AddrPortFrom(server[0], ibtrs.DefaultPort), scripted)
	if err != nil {
		return nil, err
	}
	for _, addr := range server[1:] {
		if err := d.AddPath(ctx, addr); err != nil {
			return nil, errors.Join(err, d.Unmap(ctx))
		}
	}
	return d, nil
}

// MapOrdinary maps the disk of a server that only serves.
func (i *ControlledInitiator) MapOrdinary(ctx context.Context) (provocations.Disk, error) {
	return i.mapDisk(ctx, i.ordinary, ordinaryExport)
}

func (i *ControlledInitiator) mapDisk(ctx context.Context, server netip.AddrPort, device string) (provocations.Disk, error) {
	says, err := i.call(ctx, nil, Map, sessionName(), server.Addr().String(), strconv.Itoa(int(server.Port())), device)
	if err != nil {
		return nil, err
	}
	return i.diskOf(Map, says)
}

// diskOf is the disk whose node a hook has told.
func (i *ControlledInitiator) diskOf(action foreign.Action, says []byte) (provocations.Disk, error) {
	node, err := foreign.NodeOf(action, says)
	if err != nil {
		return nil, err
	}
	return i.disk(node), nil
}

// disk is the one of a node.
func (i *ControlledInitiator) disk(node string) *controlledDisk {
	return &controlledDisk{foreign.HookDisk{Node: node, Call: i.call}, i}
}

// sessions counts the names that were given.
var sessions atomic.Uint64

// sessionName is a name that no session has had, of this process or of another.
func sessionName() string { return fmt.Sprintf("conformance-%d-%d", os.Getpid(), sessions.Add(1)) }

// controlledDisk is a disk that the initiator has mapped.
type controlledDisk struct {
	foreign.HookDisk
	initiator *ControlledInitiator
}

func (d *controlledDisk) Flush(ctx context.Context) error {
	_, err := d.initiator.call(ctx, nil, Flush, d.Node)
	return err
}

func (d *controlledDisk) Size(ctx context.Context) (int64, error) {
	says, err := d.initiator.call(ctx, nil, Size, d.Node)
	if err != nil {
		return 0, err
	}
	size, err := strconv.ParseInt(string(bytes.TrimSpace(says)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("control hook: %s says %q, and must say the size in bytes", Size, says)
	}
	return size, nil
}

// samplePeriod is the pause between two looks at the state of a disk, of which hooks tell no event.
const samplePeriod = 50 * time.Millisecond

func (d *controlledDisk) AwaitState(ctx context.Context, want string) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	last := errors.New("nobody has looked")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", last, context.Cause(ctx))
		case <-pause.C:
		}
		says, err := d.initiator.call(ctx, nil, State, d.Node)
		is := string(bytes.TrimSpace(says))
		switch {
		case err == nil && is == want:
			return nil
		case err == nil:
			last = fmt.Errorf("it is %s", is)
		case ctx.Err() == nil: // a look that ctx has cut off has seen nothing
			last = err
		}
		pause.Reset(samplePeriod)
	}
}

func (d *controlledDisk) Reconnect(ctx context.Context) error {
	_, err := d.initiator.call(ctx, nil, Reconnect, d.Node)
	return err
}

// Promises fails: control hooks have no action for it.
func (d *controlledDisk) Promises(context.Context) (subject.Promises, error) {
	return subject.Promises{}, provocations.ErrNoPromise
}

// AddPath adds a path to another address of a scripted server.
func (d *controlledDisk) AddPath(ctx context.Context, server netip.Addr) error {
	_, err := d.initiator.call(ctx, nil, AddPath, d.Node, server.String(), strconv.Itoa(ibtrs.DefaultPort))
	return err
}

// RemovePath removes the path to an address of a scripted server.
func (d *controlledDisk) RemovePath(ctx context.Context, server netip.Addr) error {
	_, err := d.initiator.call(ctx, nil, RemovePath, d.Node, server.String())
	return err
}

// MapAnother maps another disk over the session of this one.
func (d *controlledDisk) MapAnother(ctx context.Context) (provocations.Disk, error) {
	says, err := d.initiator.call(ctx, nil, MapAnother, d.Node, anotherScripted)
	if err != nil {
		return nil, err
	}
	return d.initiator.diskOf(MapAnother, says)
}

// Unmap also happens when the spec was given up: nothing of it shall stay on a machine of somebody else.
func (d *controlledDisk) Unmap(ctx context.Context) error {
	_, err := d.initiator.call(context.WithoutCancel(ctx), nil, Unmap, d.Node)
	return err
}
