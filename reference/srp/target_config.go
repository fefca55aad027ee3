// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// TargetConfig is what a target is made of. Start from [DefaultTargetConfig], and set Devices, Port and Everybody or Access.
type TargetConfig struct {
	Devices []rdma.Device // to listen on; they stay the caller's, and must outlive the target
	Listen  uint16        // port of the RDMA connection manager; 0: each listener picks a free one
	Port    PortID        // the target port that initiators log in to

	Everybody *scsi.LUNs            // what initiators without an entry in Access may use; nil: they are rejected
	Access    map[PortID]*scsi.LUNs // by initiator port (Clause SRP-TGT-007)

	RequestLimit  int  // credits that a login gives
	SpareCredits  int  // credits that [TargetChannel.GiveCredits] may add
	MaxIULength   int  // bytes of the longest unit that an initiator may send
	NoImmediate   bool // immediate data is not granted
	ChannelMemory int  // bytes for data of the commands of one channel

	MaxChannels int // of one nexus
	MaxNexuses  int // at a time
	MaxHalfOpen int // logins that are not done
	Workers     int // backend calls at a time, of backends that may wait

	HalfOpen time.Duration // for an initiator to confirm its login
	Probe    time.Duration // an idle channel is probed so often; 0: never
	Vanished time.Duration // for the answer to a probe
	Drain    time.Duration // for what a new login of the same initiator supersedes to end, and for a disconnect to be answered

	Log *slog.Logger

	Rules TargetRules // that are turned off
}

// Limits of a target that nobody configured.
const (
	DefaultRequestLimit  = 128
	DefaultMaxIULength   = 8276 // 8 KiB of immediate data, its descriptor, and a command with 32 bytes of CDB more than the least
	DefaultChannelMemory = 4 << 20
	DefaultTargetPort    = 5555

	// targetIULength bounds what the target sends: a response with sense data (Clause SRP-LOGIN-012).
	targetIULength = RspSize + ResponseDataSize + scsi.MaxSenseSize

	// reserve are receives for units that need no credit: an answer, and a logout (Clauses SRP-CRED-002, SRP-LOGOUT-002).
	reserve = 2
)

// DefaultTargetConfig lacks devices, the port, and units.
func DefaultTargetConfig() TargetConfig {
	return TargetConfig{
		Listen: DefaultTargetPort, RequestLimit: DefaultRequestLimit, MaxIULength: DefaultMaxIULength, ChannelMemory: DefaultChannelMemory,
		MaxChannels: 64, MaxNexuses: 128, MaxHalfOpen: 32, Workers: 16,
		HalfOpen: 10 * time.Second, Probe: 10 * time.Second, Vanished: 20 * time.Second, Drain: 5 * time.Second,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Validate refuses values that make no sense, with field, value and limit; the error is EINVAL to errors.Is. It does not look at
// devices.
func (c *TargetConfig) Validate() error {
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"request limit", c.RequestLimit, 2, 4096}, {"spare credits", c.SpareCredits, 0, 4096},
		{"max IU length", c.MaxIULength, 320, 1 << 20}, // the longest command without data-out has 300 bytes
		{"channel memory", c.ChannelMemory, scsi.DefaultMaxTransfer + tableMost, 1 << 32},
		{"max channels", c.MaxChannels, 1, 1024}, {"max nexuses", c.MaxNexuses, 1, 1 << 16},
		{"max half-open logins", c.MaxHalfOpen, 1, 4096}, {"workers", c.Workers, 1, 1024},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%s is %d, must be %d to %d: %w", f.name, f.value, f.least, f.most, syscall.EINVAL)
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"half-open time", c.HalfOpen}, {"time to answer a probe", c.Vanished}, {"drain time", c.Drain}} {
		if f.value <= 0 {
			return fmt.Errorf("%s is %s, must be positive: %w", f.name, f.value, syscall.EINVAL)
		}
	}
	if c.Probe < 0 {
		return fmt.Errorf("probe interval is %s, must not be negative: %w", c.Probe, syscall.EINVAL)
	}
	return nil
}

// luns are the units of an initiator; nil if it has no access.
func (c *TargetConfig) luns(initiator PortID) *scsi.LUNs {
	if l, ok := c.Access[initiator]; ok && !c.Rules.AnyInitiator {
		return l
	}
	return c.Everybody
}
