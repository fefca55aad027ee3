// SPDX-License-Identifier: Apache-2.0

package script

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Script is how a target behaves. Each step is done as the protocol says when its function is nil; a function replaces the step, and can
// call the default. All of them run in the target's event loop.
type Script struct {
	Limit       int32 // credits of a channel; 0 means DefaultLimit
	NoImmediate bool  // immediate data is not granted

	Login  func(l *Login)      // a connection is asked for; by default [Login.Accept]
	Begin  func(c *Channel)    // a channel is established; by default nothing
	Serve  func(c *Command)    // a command has come, with its data; by default [Command.Answer]
	Manage func(m *Management) // task management is asked for; by default [Management.Answer]
}

// What a target is by default.
const (
	DefaultLimit = 16
	DiskSize     = 2 << 20
	BlockSize    = 512

	// MaxTargetIU is the longest unit that a target says it sends.
	MaxTargetIU = 256
	maxUnit     = 8276 // the longest that it takes, as Linux's
)

// Place says where a target is, and which port it has.
type Place struct {
	Device  rdma.Device
	Port    uint16 // where it listens
	IDExt   uint64 // of the target port; IOClass decides in which order the halves stand
	IOCGUID uint64
}

// ports counts target ports.
var ports atomic.Uint64

// NewPlace gives a place on a device, with a target port that no other has had.
func NewPlace(device rdma.Device, port uint16) Place {
	return Place{Device: device, Port: port, IDExt: 0x3132333400000000 + ports.Add(1), IOCGUID: 0x4142434445464748}
}

// Addr is where the target listens.
func (p Place) Addr() netip.AddrPort { return netip.AddrPortFrom(p.Device.Addr(), p.Port) }

// Login is the login string of the target, with more parameters.
func (p Place) Login(more ...string) string {
	words := append([]string{fmt.Sprintf("id_ext=%016x", p.IDExt), fmt.Sprintf("ioc_guid=%016x", p.IOCGUID), "dest=" + p.Addr().String()}, more...)
	return strings.Join(words, ",")
}
