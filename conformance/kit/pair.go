// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/witness"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Pair is an initiator and a target on two hosts of one lab, and everything that the running spec has made with them.
type Pair struct {
	Lab           *vm.Lab
	Target        subject.Target
	Initiator     subject.Initiator
	TargetHost    *vm.Host
	InitiatorHost *vm.Host
	Server        Hand // on the target's machine
	Client        Hand // on the initiator's machine

	targetOptions subject.TargetOptions // with which the target serves now
	named         int                   // names given out by unique
	sequence      uint64                // of stamped writes
	unpacked      map[*agent.Client]map[string]bool
	hops          map[*vm.Host]hops // of the mutant that the running spec has to do with

	// What the running spec has made; see takeDown.
	began     time.Time
	exceeded  bool // a measured time is beyond its bound
	disturbed bool // the spec has broken the wire or stopped a host
	foreign   bool // somebody who is no subject has been on the wire
	exports   []subject.Export
	disks     []*Disk
	written   []written
	ends      []func()
}

// Dialect gives the names that the initiator uses.
func (p *Pair) Dialect() subject.Dialect { return p.Initiator.Info().Dialect }

// TargetDialect gives the names that the target uses.
func (p *Pair) TargetDialect() subject.Dialect { return p.Target.Info().Dialect }

// TargetOptions are those with which the target serves now.
func (p *Pair) TargetOptions() subject.TargetOptions { return p.targetOptions }

// Path is the IPv4 path over a rail.
func (p *Pair) Path(rail int) subject.PathAddr {
	return subject.PathAddr{Source: p.InitiatorHost.NIC(rail).IPv4.Addr(), Destination: p.TargetHost.NIC(rail).IPv4.Addr()}
}

// Path6 is the IPv6 path over a rail.
func (p *Pair) Path6(rail int) subject.PathAddr {
	return subject.PathAddr{Source: p.InitiatorHost.NIC(rail).IPv6.Addr(), Destination: p.TargetHost.NIC(rail).IPv6.Addr()}
}

// Nobody is an address on a rail that no host has.
func (p *Pair) Nobody(rail int) netip.Addr {
	const free = 250
	return vm.IPv4(rail, free).Addr()
}

// GID writes an address as a GID: eight groups of four digits.
func (p *Pair) GID(a netip.Addr) string {
	b := a.As16()
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = fmt.Sprintf("%02x%02x", b[2*i], b[2*i+1])
	}
	return strings.Join(groups, ":")
}

// ClientRDMADevice is the name of the initiator's RDMA device on a rail.
func (p *Pair) ClientRDMADevice(rail int) string { return p.InitiatorHost.NIC(rail).RDMA }

// ServerRDMADevice is the name of the target's RDMA device on a rail.
func (p *Pair) ServerRDMADevice(rail int) string { return p.TargetHost.NIC(rail).RDMA }

// RDMAStats reads stats/rdma of a path: reads, bytes read, writes, bytes written, in flight, failed over.
func (p *Pair) RDMAStats(ctx context.Context, session string, path subject.PathAddr) []uint64 {
	ginkgo.GinkgoHelper()
	var numbers []uint64
	for _, word := range strings.Fields(p.Client.Word(ctx, p.Dialect().ClientPath(session, path)+"/stats/rdma")) {
		n, err := strconv.ParseUint(word, 10, 64)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		numbers = append(numbers, n)
	}
	return numbers
}

// IOCount is the number of requests that a path has carried.
func (p *Pair) IOCount(ctx context.Context, session string, path subject.PathAddr) uint64 {
	ginkgo.GinkgoHelper()
	n, err := p.Initiator.Requests(ctx, session, path)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return n
}

// TargetHasPath says whether the target has a path of a session.
func (p *Pair) TargetHasPath(ctx context.Context, session string, path subject.PathAddr) bool {
	ginkgo.GinkgoHelper()
	has, err := p.Target.HasPath(ctx, session, path)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return has
}

// TargetKeepsPath says whether the target has anything left of a path of a session.
func (p *Pair) TargetKeepsPath(ctx context.Context, session string, path subject.PathAddr) bool {
	ginkgo.GinkgoHelper()
	keeps, err := p.Target.KeepsPath(ctx, session, path)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return keeps
}

// NeedSysfs ends the spec as not applicable when a subject has no sysfs.
func (p *Pair) NeedSysfs(role subject.Role) {
	info := p.Initiator.Info()
	if role == subject.TargetRole {
		info = p.Target.Info()
	}
	if !info.Sysfs {
		witness.Skip(verdict.AbilityMissing, "the %s %s is not administered through sysfs", role, info.Name)
	}
}

// RestartTarget makes the target serve with other options, until the spec ends.
func (p *Pair) RestartTarget(ctx context.Context, opts subject.TargetOptions) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.TryTarget(ctx, opts)).To(gomega.Succeed())
}

// TryTarget makes the target serve with other options, until the spec ends, and gives the error of that.
func (p *Pair) TryTarget(ctx context.Context, opts subject.TargetOptions) error {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Stop(ctx)).To(gomega.Succeed())
	before := p.targetOptions
	p.targetOptions = opts
	ginkgo.DeferCleanup(func(ctx context.Context) error {
		p.targetOptions = before
		return errors.Join(p.unmapAll(ctx), p.Target.Stop(ctx), p.Target.Start(ctx, before))
	})
	return p.Target.Start(ctx, opts)
}

// RestartInitiator takes the initiator down with everything that it has mapped, and makes it ready again.
func (p *Pair) RestartInitiator(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Initiator.Stop(ctx)).To(gomega.Succeed())
	gomega.Expect(p.Initiator.Start(ctx)).To(gomega.Succeed())
}

// atEnd has something done after the spec, before its mappings are taken down. Later ones come first.
func (p *Pair) atEnd(do func()) { p.ends = append(p.ends, do) }
