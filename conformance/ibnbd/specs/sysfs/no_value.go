// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Text that is no value of any file: none at all, a line without a value, a string that ends at once, and as much as a page of
// the machine holds, or more.

const page = 4096

var noValues = []struct{ what, text string }{
	{"nothing", ""},
	{"a newline alone", "\n"},
	{"a zero byte and a newline", "\x00\n"},
	{"a page of text", strings.Repeat("x", page)},
	{"more than a page of text", strings.Repeat("y", 2*page+1)},
}

var _ = Describe("text that is no value changes nothing and gives EINVAL", kit.Takes(2), func() {
	It("in the files of the block client", pair.Sysfs(clauses.Initiator), claim.Clauses("IBNBD-SYSFS-037"), func(ctx SpecContext) {
		refuseNoValues(ctx, clauses.Initiator, func(d subject.Names, disk string) []string { return d.BlockClientDirs(disk) })
	})
	It("in the files of the transport client", pair.Sysfs(clauses.Initiator), claim.Clauses("IBTRS-SYSFS-021"), func(ctx SpecContext) {
		refuseNoValues(ctx, clauses.Initiator, func(d subject.Names, _ string) []string { return d.TransportClientDirs() })
	})
	It("in the files of the block server", pair.Sysfs(clauses.Target), claim.Clauses("IBNBD-SYSFS-037"), func(ctx SpecContext) {
		refuseNoValues(ctx, clauses.Target, func(d subject.Names, _ string) []string { return d.BlockServerDirs() })
	})
	It("in the files of the transport server", pair.Sysfs(clauses.Target), claim.Clauses("IBTRS-SYSFS-021"), func(ctx SpecContext) {
		refuseNoValues(ctx, clauses.Target, func(d subject.Names, _ string) []string { return d.TransportServerDirs() })
	})
})

// refuseNoValues writes every text to every file of one side that has a write bit, whichever these are, in a session of two paths
// that has carried I/O: a counter that is reset shows that, too.
func refuseNoValues(ctx SpecContext, role clauses.Role, dirs func(d subject.Names, disk string) []string) {
	p := pair.Current()
	export := p.Export(ctx, subject.ExportSpec{})
	r := p.Request(export)
	r.Paths = []subject.PathAddr{p.Path(0), p.Path(1)}
	device := p.Map(ctx, r)
	p.WriteStamped(ctx, device, 0, 64<<10)
	p.VerifyStamped(ctx, device)

	hand, dialect := p.Client, p.Names()
	if role == clauses.Target {
		hand, dialect = p.Server, p.TargetNames()
	}
	all := slices.Concat(dialect.BlockClientDirs(device.Disk), dialect.BlockServerDirs(), dialect.TransportClientDirs(), dialect.TransportServerDirs())
	files := hand.Writable(ctx, dirs(dialect, device.Disk)...)
	Expect(files).NotTo(BeEmpty(), "files with a write bit")
	before := hand.Snapshot(ctx, all...)
	for _, file := range files {
		for _, no := range noValues {
			err := hand.Write(ctx, file, no.text)
			if err == nil && no.text == "" {
				continue // sysfs does not pass on what is empty
			}
			Expect(err).To(MatchError(syscall.EINVAL), "%s <- %s", file, no.what)
		}
		Expect(hand.Snapshot(ctx, all...)).To(Equal(before), "after %s", file)
	}
	Expect(p.State(ctx, device)).To(Equal("open"))
	Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(r.Paths))
	p.WriteStamped(ctx, device, 0, 64<<10)
	p.VerifyStampedOnExport(ctx, export)
}
