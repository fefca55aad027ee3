// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// Info describes an implementation in one role, for reports and for choosing the clauses that apply.
type Info struct {
	Name     string          // such as "mainline"
	Role     clauses.Role    // which side
	Dialect  clauses.Dialect // the names it uses; see [NamesOf]
	Version  string          // as its owner would write it, such as a kernel release
	KeyMode  KeyMode         // of a target; an initiator follows its target
	Sysfs    bool            // whether the sysfs chapters apply
	Userland bool            // whether it runs outside the kernel
	Own      bool            // whether it is this project's own, so that the project's own rules bind it
}

// KeyMode tells whether a target gives a chunk a new key for each request (clause IBTRS-INV-001).
type KeyMode bool

// The two key modes.
const (
	KeysKept      KeyMode = false
	KeysRefreshed KeyMode = true
)

// TargetOptions are what a target's owner can set before it serves.
type TargetOptions struct {
	SearchPath string // dev_search_path; empty means the default, "/"
	Keys       KeyMode
	QueueDepth int // requests in flight per session; 0 means the default
	// LegacyClients lets original clients in, which do not zero what they do not use. A target that has no such switch fails to
	// start with an error that wraps ErrUnsupported.
	LegacyClients bool
}

// Target is an implementation in the server's role.
type Target interface {
	Info() Info
	// Start makes the target serve. It fails with the errno of the implementation when an option is refused.
	Start(ctx context.Context, opts TargetOptions) error
	// Stop ends all sessions and takes the target down. Stopping a target that does not serve is no error.
	Stop(ctx context.Context) error
	// Provide makes a backing device. It lives until Withdraw, whether or not the target serves.
	Provide(ctx context.Context, spec ExportSpec) (Export, error)
	// Resize changes the size of a backing device that is resizable, in use or not. What lies behind its new end is lost.
	Resize(ctx context.Context, e Export, sizeMiB int) error
	// Withdraw removes a backing device and its data.
	Withdraw(ctx context.Context, e Export) error
	// Sessions lists the names of the sessions that are connected.
	Sessions(ctx context.Context) ([]string, error)
	// HasPath says whether the target has a path of a session, named from the initiator's point of view.
	HasPath(ctx context.Context, session string, p PathAddr) (bool, error)
	// KeepsPath says whether the target has anything left of a path, as it does while it closes it.
	KeepsPath(ctx context.Context, session string, p PathAddr) (bool, error)
	// Disconnect closes one path of a session from the target's side.
	Disconnect(ctx context.Context, session string, p PathAddr) error
	// Timers are the configured times of the target's side.
	Timers() Timers
}

// Initiator is an implementation in the client's role.
type Initiator interface {
	Info() Info
	// Start makes the initiator ready to map.
	Start(ctx context.Context) error
	// Stop unmaps everything by force and takes the initiator down.
	Stop(ctx context.Context) error
	// Map maps an export and returns when its disk can be used. What is not refused and gives no disk is ErrNoDisk.
	Map(ctx context.Context, r MapRequest) (Device, error)
	// Unmap gives a device up. With UnmapNormal a device in use fails with EBUSY.
	Unmap(ctx context.Context, d Device, mode UnmapMode) error
	// Devices lists what is mapped.
	Devices(ctx context.Context) ([]Device, error)
	// State is "open" while a device serves I/O and "closed" while its session is lost.
	State(ctx context.Context, d Device) (string, error)
	// Paths lists the paths of a session with their states.
	Paths(ctx context.Context, session string) ([]PathStatus, error)
	// Look gives State and Paths at once. The state is "" when there is no such device any more.
	Look(ctx context.Context, d Device) (state string, paths []PathStatus, err error)
	AddPath(ctx context.Context, session string, p PathAddr) error
	RemovePath(ctx context.Context, session string, p PathAddr) error
	DisconnectPath(ctx context.Context, session string, p PathAddr) error
	ReconnectPath(ctx context.Context, session string, p PathAddr) error
	// SetPolicy selects the multipath policy by its short name: "rr", "mi" or "ml".
	SetPolicy(ctx context.Context, session, policy string) error
	Policy(ctx context.Context, session string) (string, error)
	// Requests is the number of requests that a path has carried.
	Requests(ctx context.Context, session string, p PathAddr) (uint64, error)
	// Timers are the configured times.
	Timers() Timers
}

// Connector is an initiator in userspace that applications connect to: each connection has a block device of its own, beside that
// of the mapping.
type Connector interface {
	// Connect makes a block device of a mapped device over a connection of its own. When an I/O on it takes longer than the
	// timeout, the connection is ended, and its I/O fails.
	Connect(ctx context.Context, d Device, timeout time.Duration) (Device, error)
	// Disconnect takes that block device away.
	Disconnect(ctx context.Context, connected Device) error
}

// ExportSpec asks a target for a backing device.
type ExportSpec struct {
	Name      string // unique on the target; part of the export's path
	SizeMiB   int
	BlockSize int           // logical block size in bytes; 0 means 512
	Cache     bool          // a volatile write cache, so that flush and FUA mean something
	Discard   bool          // discard and write-zeroes are offered
	Latency   time.Duration // added to each I/O, so that a spec can act while I/O is in flight; 0 means none
	Failing   bool          // it fails I/O with several error numbers: see [BadSector] and [ZoneSectors]
	Resizable bool          // its size can be changed while it is in use; it has blocks of 512 bytes and a cache then, and no latency
}

// Export is a backing device that a target offers.
type Export struct {
	ExportSpec
	Path string // device_path with the default search path
	Disk string // the kernel's name of the block device on the target, such as ram0; empty when it has none
}

// Device is a mapped export.
type Device struct {
	Disk    string // such as rnbd0
	Node    string // such as /dev/rnbd0, in the initiator's machine
	Session string
	Export  string // device_path as mapped
}

// NodePath is where the device's node is.
func (d Device) NodePath() string { return d.Node }

// PathStatus is one path of a session as the initiator sees it.
type PathStatus struct {
	PathAddr
	Connected bool
}

// ErrNoDisk reports a mapping that seemed to succeed, and whose disk is not there.
var ErrNoDisk = errors.New("it seems to be mapped, and there is no disk")

// ErrUnsupported is wrapped by errors of operations that an implementation does not have. A spec that meets it is
// skipped with the reason code NOT-SUPPORTED.
var ErrUnsupported = errors.New("not supported by this implementation")

// Host is the computer that a subject lives on.
type Host = machine.Host
