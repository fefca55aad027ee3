// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/reference/srp"
)

// Initiator is an implementation in the initiator's role.
type Initiator interface {
	Info() Info
	// Start makes the initiator ready to connect.
	Start(ctx context.Context) error
	// Stop removes all ports and takes the initiator down.
	Stop(ctx context.Context) error
	// Connect connects a target port, and returns when its disks can be used.
	Connect(ctx context.Context, l Login) (Port, error)
	// Ports lists what is connected, or was and is not given up.
	Ports(ctx context.Context) ([]Port, error)
	// Delete gives a port up. It may return before its disks have gone.
	Delete(ctx context.Context, p Port) error
	// Look gives the states of a port and of its disks. That of a port that is not there is Gone, and it has no disks.
	Look(ctx context.Context, p Port) (Look, error)
	// SetTimers changes the timers of a port.
	SetTimers(ctx context.Context, p Port, t Timers) error
}

// Login says which target port is to be connected, and how.
type Login struct {
	Rail    int            // of whose device it is connected
	Dest    netip.AddrPort // where the target port listens
	Port    srp.PortID     // the target port
	Options string         // more for the login string, such as "tl_retry_count=2"
}

// Line is the login string.
func (l Login) Line() string {
	extension, guid := l.Port.Split(srp.IOClassRev16a)
	line := fmt.Sprintf("id_ext=%016x,ioc_guid=%016x,dest=%s", extension, guid, l.Dest)
	if l.Options != "" {
		line += "," + l.Options
	}
	return line
}

// Port is a target port that an initiator has connected.
type Port struct {
	Name  string // such as port-2:1
	Host  int    // number of its SCSI host
	Disks []Disk // in the order of their numbers
}

// Disk is a block device of a logical unit.
type Disk struct {
	Name    string // such as sda
	Address string // host, channel, target and unit, such as 2:0:0:1
}

// NodePath is where the device's node is.
func (d Disk) NodePath() string { return "/dev/" + d.Name }

// The states of a port.
const (
	Running  = "running"
	Blocked  = "blocked"
	FailFast = "fail-fast"
	Lost     = "lost"
	Gone     = "gone" // there is none
)

// TransportOffline is the state of a disk whose port has failed; otherwise it is Running or Blocked, as that of the port.
const TransportOffline = "transport-offline"

// Look is what an initiator shows of a port.
type Look struct {
	Port  string            // its state
	Disks map[string]string // the state of each disk, by its name
}

// All says whether the port has so many disks, all in a state.
func (l Look) All(count int, state string) bool {
	if len(l.Disks) != count {
		return false
	}
	for _, s := range l.Disks {
		if s != state {
			return false
		}
	}
	return true
}

// Off is the value of a timer that never expires.
const Off = srp.Off

// Timers are those of a port.
type Timers struct{ FastIOFail, DevLoss, ReconnectDelay time.Duration }

// MainlineTimers are those that ib_srp has unless it is told otherwise.
var MainlineTimers = Timers{FastIOFail: 15 * time.Second, DevLoss: 600 * time.Second, ReconnectDelay: 10 * time.Second}

// String shows them as they are written.
func (t Timers) String() string {
	return fmt.Sprintf("fast_io_fail_tmo %s, dev_loss_tmo %s, reconnect_delay %s", Seconds(t.FastIOFail), Seconds(t.DevLoss), Seconds(t.ReconnectDelay))
}

// Seconds writes a timer as the files have it.
func Seconds(d time.Duration) string {
	if d < 0 {
		return "off"
	}
	return fmt.Sprint(int(d / time.Second))
}

// sortDisks puts disks in the order of their numbers.
func sortDisks(disks []Disk) {
	slices.SortFunc(disks, func(a, b Disk) int { return strings.Compare(a.Address, b.Address) })
}
