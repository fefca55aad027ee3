// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Testbed is a lab with two hosts, one for the target and one for the initiator, and everything that the running spec has made
// there. What it has made with the subjects themselves is theirs; see [Subjects].
type Testbed struct {
	Lab           *vm.Lab
	TargetHost    *vm.Host
	InitiatorHost *vm.Host
	Server        Files // of the target's machine
	Client        Files // of the initiator's machine

	sequence uint64 // of stamped writes
	unpacked map[*agent.Client]map[string]bool
	hops     map[*vm.Host]hops // of the mutant that the running spec has to do with

	// What the running spec has made; see takeDown.
	began     time.Time
	exceeded  bool // a measured time is beyond its bound
	disturbed bool // the spec has broken the wire or stopped a host
	foreign   bool // somebody who is no subject has been on the wire
	disks     []*Disk
	written   []written
	ends      []func()
}

func newTestbed(lab *vm.Lab) *Testbed {
	target, initiator := lab.Hosts()[0], lab.Hosts()[1]
	return &Testbed{
		Lab:           lab,
		TargetHost:    target,
		InitiatorHost: initiator,
		Server:        Files{target},
		Client:        Files{initiator},
		unpacked:      make(map[*agent.Client]map[string]bool),
	}
}

// hosts are the two that have a subject each; a lab may have more.
func (t *Testbed) hosts() []*vm.Host { return []*vm.Host{t.TargetHost, t.InitiatorHost} }

// TargetAddr is the IPv4 address of the target on a rail.
func (t *Testbed) TargetAddr(rail int) netip.Addr { return t.TargetHost.NIC(rail).IPv4.Addr() }

// UnusedAddr is an address on a rail that no host has.
func (t *Testbed) UnusedAddr(rail int) netip.Addr {
	const free = 250
	return vm.IPv4(rail, free).Addr()
}

// GID writes an address as a GID: eight groups of four digits.
func (t *Testbed) GID(a netip.Addr) string {
	b := a.As16()
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = fmt.Sprintf("%02x%02x", b[2*i], b[2*i+1])
	}
	return strings.Join(groups, ":")
}

// ClientRDMADevice is the name of the initiator's RDMA device on a rail.
func (t *Testbed) ClientRDMADevice(rail int) string { return t.InitiatorHost.NIC(rail).RDMA }

// ServerRDMADevice is the name of the target's RDMA device on a rail.
func (t *Testbed) ServerRDMADevice(rail int) string { return t.TargetHost.NIC(rail).RDMA }

// Replace boots a host's machine anew. A mutant that the spec has to do with stays in front of it.
func (t *Testbed) Replace(ctx context.Context, host *vm.Host) error {
	if err := t.Lab.Replace(ctx, host); err != nil {
		return err
	}
	t.putHops(host)
	return nil
}

// AtEnd has something done after the spec, before its subjects' devices are taken down. Later ones come first.
func (t *Testbed) AtEnd(do func()) { t.ends = append(t.ends, do) }
