// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// InitiatorConfig is what all ports of an initiator have in common.
type InitiatorConfig struct {
	Gap time.Duration // between attempts to log in, of whatever port
	// Transition, if set, is called for each change of a port's state, in order. It must neither wait nor call the initiator.
	Transition func(p *RemotePort, from, to PortState)
	Log        *slog.Logger
	Rules      InitiatorRules
}

// DefaultInitiatorConfig logs nothing.
func DefaultInitiatorConfig() InitiatorConfig {
	return InitiatorConfig{Gap: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
}

// Keys say by which keys a target reaches the data of commands.
type Keys uint8

// The kinds of keys.
const (
	KeyPerCommand Keys = iota // a key of its own, which ends with the response (Clause SRP-DATA-004)
	GlobalKey                 // one key for all memory that a channel has for data
)

// String names the kind as the program does.
func (k Keys) String() string {
	if k == GlobalKey {
		return "global"
	}
	return "per-command"
}

// PortConfig is what an initiator needs to know of a target port. Start from [DefaultPortConfig], and set Device and Login.
type PortConfig struct {
	Device rdma.Device // stays the caller's, and must outlive the port
	Login  LoginString // the RDMA connection manager's form
	GUID   uint64      // of the initiator port; 0: made of the device's address

	Timers      Timers
	TaskTimeout time.Duration // for the answer to task management (Clause SRP-TM-007)
	LogoutTime  time.Duration // for a logout, and again for a disconnect, to be taken (Clause SRP-LOGOUT-001)
	AckTimeout  int           // local ACK timeout code; 0 leaves it to the provider

	Keys          Keys
	Segment       int // longest piece of memory that data is in, with a global key: more pieces are a list; bytes, 0: no limit
	ChannelMemory int // for data of the commands of one channel, bytes
	MaxTransfer   int // of one command, bytes; what Login says counts if it is less
	MaxImmediate  int // longest data that is sent in the command, bytes; 0: immediate data is not asked for
}

// Limits of what an initiator asks for.
const (
	DefaultMaxImmediate = 8192
	DefaultMaxTransfer  = 1 << 20

	immediateOffset = 68 // where Linux has immediate data
	mostChannels    = 64
	mostTransfer    = 16 << 20
	mostQueue       = 4096
	leastCredits    = 2 // a command and task management (Clause SRP-LOGIN-025)

	targetRequests = 4 // receives for requests of the target, besides those for responses
)

// DefaultPortConfig lacks device and login.
func DefaultPortConfig() PortConfig {
	return PortConfig{
		Timers: DefaultTimers(), TaskTimeout: 5 * time.Second, LogoutTime: time.Second,
		ChannelMemory: DefaultChannelMemory, MaxTransfer: DefaultMaxTransfer, MaxImmediate: DefaultMaxImmediate,
	}
}

// Validate refuses values that make no sense, with field, value and limit; the error is EINVAL to errors.Is. It does not look at the
// device.
func (c *PortConfig) Validate() error {
	if !c.Login.Dest.IsValid() || c.Login.Dest.Port() == 0 {
		return fmt.Errorf("dest is %s, must be an address and a port: only the RDMA connection manager can be used: %w", c.Login.Dest, syscall.EINVAL)
	}
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"ACK timeout code", c.AckTimeout, 0, 31}, {"queue_size", c.Login.QueueSize, 1, mostQueue},
		{"ch_count", c.Login.ChannelCount, 0, mostChannels}, {"cmd_sg_entries", c.Login.CmdSGEntries, 1, MaxListEntries},
		{"sg_tablesize", c.Login.SGTableSize, 1, 2048}, {"tl_retry_count", c.Login.TLRetryCount, 0, 7},
		{"segment", c.Segment, 0, mostTransfer}, {"max transfer", c.MaxTransfer, pageSize, mostTransfer},
		{"max immediate", c.MaxImmediate, 0, 1 << 20}, {"max_it_iu_size", c.Login.MaxITIUSize, 0, math.MaxInt32},
		{"channel memory", c.ChannelMemory, 2 * (c.maxTransfer() + tableMost + pageSize), math.MaxInt32},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%s is %d, must be %d to %d: %w", f.name, f.value, f.least, f.most, syscall.EINVAL)
		}
	}
	if n := c.Login.MaxITIUSize; n > 0 && n < MinIULength {
		return fmt.Errorf("max_it_iu_size is %d, must be 0 or at least %d: %w", n, MinIULength, syscall.EINVAL)
	}
	if c.Segment%pageSize != 0 {
		return fmt.Errorf("segment is %d, must be a multiple of %d: %w", c.Segment, pageSize, syscall.EINVAL)
	}
	if c.TaskTimeout <= 0 || c.LogoutTime <= 0 {
		return fmt.Errorf("task timeout %s and logout time %s must be positive: %w", c.TaskTimeout, c.LogoutTime, syscall.EINVAL)
	}
	return c.Timers.Validate()
}

// maxTransfer is the most data of one command, as far as the initiator knows: lists must not get too long, and a login may bound it.
func (c *PortConfig) maxTransfer() int {
	most := c.MaxTransfer
	if n := c.Login.MaxSect; n > 0 && n < most/sectorSize {
		most = n * sectorSize
	}
	if c.Segment > 0 && c.Keys == GlobalKey {
		entries := c.Login.CmdSGEntries
		if c.Login.AllowExtSG {
			entries = max(entries, c.Login.SGTableSize)
		}
		most = min(most, entries*c.Segment)
	}
	return most
}

const sectorSize = 512 // of max_sect

// channels is how many connections are wanted.
func (c *PortConfig) channels() int { return max(c.Login.ChannelCount, 1) }

// InitiatorPort is the identifier by which the port logs in (Clauses SRP-LOGIN-006, SRP-LOGIN-007).
func (c *PortConfig) InitiatorPort() PortID {
	guid := c.GUID
	if guid == 0 && c.Device != nil {
		guid = GUIDOf(c.Device.Addr())
	}
	return NewPortID(c.Login.InitiatorExt, guid, c.Login.IOClass)
}

// GUIDOf makes a port GUID of an address: the lower half of the GID that it has on RoCE.
func GUIDOf(addr netip.Addr) uint64 {
	gid := addr.As16()
	return binary.BigEndian.Uint64(gid[8:])
}

// requestedIU is the longest unit that commands may need (Clause SRP-LOGIN-009).
func (c *PortConfig) requestedIU() int {
	longest := CmdSize + maxExtraCDB + indirectHeaderSize + c.Login.CmdSGEntries*MemoryDescriptorSize
	if c.MaxImmediate > 0 {
		longest = max(longest, immediateOffset+c.MaxImmediate)
	}
	if n := c.Login.MaxITIUSize; n > 0 {
		longest = min(longest, n)
	}
	return longest
}

// maxExtraCDB is how much longer than 16 bytes a command block of this initiator may be.
const maxExtraCDB = 16

// login is the request for a channel (Clauses SRP-LOGIN-001, SRP-CH-001).
func (c *PortConfig) login(first bool) LoginReqCM {
	req := LoginReqCM{
		Type: TypeLoginReq, RequiredFormats: FormatsDirect | FormatsIndirect, Flags: ChannelMultiple,
		RequestedIULength: uint32(c.requestedIU()), InitiatorPort: c.InitiatorPort(), TargetPort: c.Login.TargetPort(),
	}
	if first {
		req.Flags = ChannelSingle
	}
	if c.MaxImmediate > 0 {
		req.Flags |= LoginImmediate
		req.ImmediateOffset = immediateOffset
	}
	return req
}
