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
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// scripted is the name of the disk of a scripted server.
const scripted = "scripted"

// anotherScripted is the name of another: a scripted server has its disk under any.
const anotherScripted = "another"

// steered is an initiator that a hook steers, for the time of one spec.
type steered struct {
	hook     Hook
	ordinary netip.AddrPort          // where a server listens that only serves
	giveUp   context.CancelCauseFunc // ends the spec: an action is lacking
	mapping  func() (session string) // a name that no session has had
	timers   subject.Timers
}

// call has the hook do an action. An error of the initiator has the number that the hook tells, or is ErrNoNumber.
func (i *steered) call(ctx context.Context, input []byte, action Action, words ...string) ([]byte, error) {
	says, err := i.hook.run(ctx, call{action: action, words: words, input: input})
	var failed *FailedError
	switch {
	case errors.Is(err, ErrNotSupported):
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
func (i *steered) Timers() subject.Timers { return i.timers }

// Map maps the disk of a scripted server, which listens at the default port.
func (i *steered) Map(ctx context.Context, server ...netip.Addr) (provocations.Disk, error) {
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
func (i *steered) MapOrdinary(ctx context.Context) (provocations.Disk, error) {
	return i.mapDisk(ctx, i.ordinary, ordinaryExport)
}

func (i *steered) mapDisk(ctx context.Context, server netip.AddrPort, device string) (provocations.Disk, error) {
	says, err := i.call(ctx, nil, Map, i.mapping(), server.Addr().String(), strconv.Itoa(int(server.Port())), device)
	if err != nil {
		return nil, err
	}
	return i.diskOf(Map, says)
}

// diskOf is the disk whose node a hook has told.
func (i *steered) diskOf(action Action, says []byte) (provocations.Disk, error) {
	words := strings.Fields(string(says))
	if len(words) != 1 {
		return nil, fmt.Errorf("control hook: %s says %q, and must say one word, the node of the disk", action, says)
	}
	return &steeredDisk{i, words[0]}, nil
}

// sessionNames gives names that no session has had, of this process or of another.
func sessionNames() func() string {
	var mu sync.Mutex
	given := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		given++
		return fmt.Sprintf("conformance-%d-%d", os.Getpid(), given)
	}
}

// steeredDisk is a disk that the initiator has mapped.
type steeredDisk struct {
	initiator *steered
	node      string
}

func (d *steeredDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b, err := d.initiator.call(ctx, nil, Read, d.node, strconv.FormatInt(offset, 10), strconv.Itoa(size))
	if err == nil && len(b) != size {
		return nil, fmt.Errorf("control hook: %s gives %d bytes, and was asked for %d", Read, len(b), size)
	}
	return b, err
}

func (d *steeredDisk) Write(ctx context.Context, offset int64, data []byte) error {
	_, err := d.initiator.call(ctx, data, Write, d.node, strconv.FormatInt(offset, 10), strconv.Itoa(len(data)))
	return err
}

func (d *steeredDisk) Flush(ctx context.Context) error {
	_, err := d.initiator.call(ctx, nil, Flush, d.node)
	return err
}

func (d *steeredDisk) Size(ctx context.Context) (int64, error) {
	says, err := d.initiator.call(ctx, nil, Size, d.node)
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

func (d *steeredDisk) AwaitState(ctx context.Context, want string) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	last := errors.New("nobody has looked")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", last, context.Cause(ctx))
		case <-pause.C:
		}
		says, err := d.initiator.call(ctx, nil, State, d.node)
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

func (d *steeredDisk) Reconnect(ctx context.Context) error {
	_, err := d.initiator.call(ctx, nil, Reconnect, d.node)
	return err
}

// AddPath adds a path to another address of a scripted server.
func (d *steeredDisk) AddPath(ctx context.Context, server netip.Addr) error {
	_, err := d.initiator.call(ctx, nil, AddPath, d.node, server.String(), strconv.Itoa(ibtrs.DefaultPort))
	return err
}

// RemovePath removes the path to an address of a scripted server.
func (d *steeredDisk) RemovePath(ctx context.Context, server netip.Addr) error {
	_, err := d.initiator.call(ctx, nil, RemovePath, d.node, server.String())
	return err
}

// MapAnother maps another disk over the session of this one, and gives it up at once.
func (d *steeredDisk) MapAnother(ctx context.Context) error {
	says, err := d.initiator.call(ctx, nil, MapAnother, d.node, anotherScripted)
	if err != nil {
		return err
	}
	other, err := d.initiator.diskOf(MapAnother, says)
	if err != nil {
		return err
	}
	return other.Unmap(ctx)
}

// Unmap also happens when the spec was given up: nothing of it shall stay on a machine of somebody else.
func (d *steeredDisk) Unmap(ctx context.Context) error {
	_, err := d.initiator.call(context.WithoutCancel(ctx), nil, Unmap, d.node)
	return err
}
