// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Initiator is what is provoked, as its user can use it.
type Initiator interface {
	// Add logs in to a target port, named by a login string of Linux's ib_srp, and looks for its disk, the logical unit 0. The error
	// has the reject reason that the initiator tells.
	Add(ctx context.Context, login string, t Times) (Disk, error)
	// Timers are what is configured otherwise.
	Timers() Timers
}

// Off is a timer that never expires.
const Off = time.Duration(-1)

// Times are what is set for each target port. The zero value of a field leaves it as the initiator has it by default.
type Times struct{ FastIOFail, DevLoss, ReconnectDelay time.Duration }

// Timers are the configured times of an initiator.
type Timers struct {
	Probe, Deadline   time.Duration // of an idle channel; for the answer to a command or a probe
	AttemptMax        time.Duration // for an attempt to log in
	ReconnectDelayMax time.Duration // between attempts
	Gap               time.Duration // between attempts for several ports
	Task, Logout      time.Duration // for the answer to task management, and to a logout
}

// DefaultTimers are those that the clauses name.
var DefaultTimers = Timers{
	Probe: 5 * time.Second, Deadline: 10 * time.Second, AttemptMax: 5 * time.Second, ReconnectDelayMax: time.Minute,
	Gap: 100 * time.Millisecond, Task: 5 * time.Second, Logout: time.Second,
}

// Disk is the disk of a target port, with the port. Offsets and sizes are bytes, multiples of 4096; errors have the errno that the
// user sees.
type Disk interface {
	// Read and Write are those of an application of its own, which goes when ctx ends, and gives up what it has asked for.
	Read(ctx context.Context, offset int64, size int) ([]byte, error)
	Write(ctx context.Context, offset int64, data []byte) error
	// AwaitState waits until the port is in a state: Running, Blocked, FailFast, or Lost, which includes that it is not there.
	AwaitState(ctx context.Context, state string) error
	// Port is what is shown of the port.
	Port(ctx context.Context) (Port, error)
	// Set changes the times of the port that are not 0. It fails with ErrNoSet where nobody can.
	Set(ctx context.Context, t Times) error
	// Reconnect has the port log in at once. It fails with ErrNoReconnect where nobody can.
	Reconnect(ctx context.Context) error
	// Delete removes the port, with its disk.
	Delete(ctx context.Context) error
}

// Port is what is shown of a port.
type Port struct {
	State    string
	Failures int // attempts that have failed since the last success; -1: it is not told
	Times    Times
}

// The states of a port.
const (
	Running  = "running"
	Blocked  = "blocked"
	FailFast = "fail-fast"
	Lost     = "lost"
)

// Why a provocation cannot be judged with some initiator. Whether it has lived on is judged nevertheless.
var (
	// ErrNoSet is that of an initiator whose control hook cannot change timers.
	ErrNoSet error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody can change the timers of a port", Survived: true}
	// ErrNoReconnect is that of an initiator whose control hook cannot have it log in at once.
	ErrNoReconnect error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody can have a port log in at once", Survived: true}
	// ErrNoTimes is that of an initiator whose control hook does not tell timers.
	ErrNoTimes error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody tells the timers of a port", Survived: true}
	// ErrNoFailures is that of an initiator whose control hook does not tell how many attempts have failed.
	ErrNoFailures error = &finding.Undecided{Reason: verdict.NoHook, Text: "nobody tells how many attempts have failed", Survived: true}
	// ErrFewChannels is that of an initiator that makes fewer channels than it was asked for.
	ErrFewChannels error = &finding.Undecided{Reason: verdict.AbilityMissing, Text: "the initiator makes fewer channels than it was asked for", Survived: true}
	// ErrNoAbort is that of an initiator that aborts nothing that its user gives up.
	ErrNoAbort error = &finding.Undecided{Reason: verdict.NoTool, Text: "the initiator aborts no command that its user gives up", Survived: true}
	// ErrNoSilence is that of a device on this side whose packets cannot be kept back.
	ErrNoSilence error = &finding.Undecided{Reason: verdict.NoTool, Text: "the packets of this side's RDMA device cannot be kept back", Survived: true}
)

// ErrNoNumber is wrapped by an error of the initiator whose number its control hook does not tell. By itself it is an error like others:
// only where a number decides, it leaves something undecided.
var ErrNoNumber = errors.New("nobody tells the number of the error")

// Setup is where initiator and scripted targets meet.
type Setup struct {
	Initiator Initiator
	// Devices are those that targets can be put on, as many as the provocation needs.
	Devices []rdma.Device
	// Patience is how long the initiator may take for what needs no timer; 0 means DefaultPatience.
	Patience time.Duration
	// Second is the unit of the timers that provocations set; 0 means a second, and an initiator in this process can do with less.
	Second time.Duration
}

// DefaultPatience outlasts what a busy machine does under emulation.
const DefaultPatience = 6 * time.Second
