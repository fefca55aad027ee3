// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Initiator is what is provoked, as its user can use it.
type Initiator interface {
	// Map opens a session of its own to a server, with a path to each of the addresses, which are all the server's, and maps
	// its disk for writing. The error has the errno that the initiator gave.
	Map(ctx context.Context, server ...netip.Addr) (Disk, error)
	// MapOrdinary maps a disk of an ordinary server, which nobody else uses.
	MapOrdinary(ctx context.Context) (Disk, error)
	// Timers are the configured times of the initiator.
	Timers() subject.Timers
}

// Modal is an [Initiator] whose user can name the I/O mode of a device.
type Modal interface {
	// MapIn is Map over one path, in an I/O mode.
	MapIn(ctx context.Context, mode ibnbd.IOMode, server netip.Addr) (Disk, error)
}

// Disk is a mapped device. Offsets and sizes are bytes, multiples of 4096; errors have the errno that the user sees.
type Disk interface {
	Read(ctx context.Context, offset int64, size int) ([]byte, error)
	// Write is that of an application of its own, which goes when ctx ends.
	Write(ctx context.Context, offset int64, data []byte) error
	Flush(ctx context.Context) error
	// Size fails with ErrFixed where the size does not follow that of the mapped device.
	Size(ctx context.Context) (int64, error)
	// AwaitState waits until the device is "open" or "closed".
	AwaitState(ctx context.Context, state string) error
	// Reconnect tries once to connect the first path of the device's session, now.
	Reconnect(ctx context.Context) error
	// AddPath adds a path to another address of the server to the device's session, and RemovePath takes one out.
	AddPath(ctx context.Context, server netip.Addr) error
	RemovePath(ctx context.Context, server netip.Addr) error
	// MapAnother maps another disk of the server over the device's session.
	MapAnother(ctx context.Context) (Disk, error)
	// Promises are the times that the initiator tells its user of the device's session. It fails with ErrNoPromise where nobody
	// passes on what it tells.
	Promises(ctx context.Context) (subject.Promises, error)
	// Unmap gives the device up, by force. The session ends with its last one.
	Unmap(ctx context.Context) error
}

// Why a provocation cannot be judged with some initiator. Whether it has lived on is judged nevertheless.
var (
	// ErrFixed is that of a disk behind a device that keeps its size while it is mapped, as one of NBD does.
	ErrFixed error = &finding.Undecided{Reason: verdict.NoTool, Text: "the size of the disk is fixed while it is mapped", Survived: true}
	// ErrNoPromise is that of an initiator whose promises its control hook, or its kernel, does not tell.
	ErrNoPromise error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody tells how long a failover takes", Survived: true}
	// ErrNoMode is that of an initiator whose control hook has no word for the I/O mode.
	ErrNoMode error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody can name the I/O mode", Survived: true}
	// ErrNoNumber is wrapped by an error of the initiator whose number its control hook does not tell.
	ErrNoNumber error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody tells the number of the error", Survived: true}
)

// The states of a device.
const (
	open   = "open"
	closed = "closed"
)

// Setup is where initiator and scripted servers meet.
type Setup struct {
	Initiator Initiator
	// Devices are those that servers can be put on, as many as the provocation needs.
	Devices []rdma.Device
	// Patience is how long the initiator may take for what needs no timer; 0 means DefaultPatience.
	Patience time.Duration
}

// DefaultPatience outlasts what a busy machine does under emulation.
const DefaultPatience = 6 * time.Second
