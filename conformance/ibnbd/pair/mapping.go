// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// defaultExportMiB is the size of an export that asks for none.
const defaultExportMiB = 16

// Export makes a backing device on the target, with a name of its own, which goes away after the spec.
func (p *Pair) Export(ctx context.Context, spec subject.ExportSpec) subject.Export {
	ginkgo.GinkgoHelper()
	if spec.Name == "" {
		spec.Name = p.unique("disk")
	}
	if spec.SizeMiB == 0 {
		spec.SizeMiB = defaultExportMiB
	}
	e, err := p.Target.Provide(ctx, spec)
	if err != nil {
		specreport.Broke(verdict.SetupFailed, "%v", err)
	}
	p.exports = append(p.exports, e)
	return e
}

// Withdraw removes an export and its data before the spec ends.
func (p *Pair) Withdraw(ctx context.Context, e subject.Export) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Target.Withdraw(ctx, e)).To(gomega.Succeed())
	p.exports = slices.DeleteFunc(p.exports, func(other subject.Export) bool { return other.Path == e.Path })
}

// Reprovide replaces an export by another of the same name. The target must not be using it.
func (p *Pair) Reprovide(ctx context.Context, e subject.Export, spec subject.ExportSpec) {
	ginkgo.GinkgoHelper()
	p.Withdraw(ctx, e)
	p.Export(ctx, spec)
}

// Request is a good request for an export: a session of its own, over the first rail, with default access.
func (p *Pair) Request(e subject.Export) subject.MapRequest {
	return subject.MapRequest{Session: p.unique("session"), Paths: []subject.PathAddr{p.Path(0)}, Device: e.Path}
}

// Map maps an export and expects that to work. The mapping goes away after the spec.
func (p *Pair) Map(ctx context.Context, r subject.MapRequest) subject.Device {
	ginkgo.GinkgoHelper()
	d, err := p.TryMap(ctx, r)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return d
}

// TryMap maps an export and gives the error of that. A mapping goes away after the spec.
func (p *Pair) TryMap(ctx context.Context, r subject.MapRequest) (subject.Device, error) {
	return p.Initiator.Map(ctx, r)
}

// RefusesMap expects that a mapping is refused, with any error. One that seems to succeed and gives no disk is none.
func (p *Pair) RefusesMap(ctx context.Context, r subject.MapRequest) {
	ginkgo.GinkgoHelper()
	_, err := p.TryMap(ctx, r)
	gomega.Expect(err).To(gomega.And(gomega.HaveOccurred(), gomega.Not(gomega.MatchError(subject.ErrNoDisk))))
}

// WriteMap writes a line to map_device and expects that to work.
func (p *Pair) WriteMap(ctx context.Context, line string) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Client.Write(ctx, p.Names().MapDevice(), line)).To(gomega.Succeed(), "map_device <- %q", line)
}

// Mapped finds the device of an export that is mapped exactly once.
func (p *Pair) Mapped(ctx context.Context, e subject.Export) subject.Device {
	ginkgo.GinkgoHelper()
	var found []subject.Device
	for _, d := range p.Devices(ctx) {
		if strings.Trim(d.Export, "/") == e.Path {
			found = append(found, d)
		}
	}
	gomega.Expect(found).To(gomega.HaveLen(1), "mappings of %s", e.Path)
	return found[0]
}

// Unmap gives a device up and expects that to work.
func (p *Pair) Unmap(ctx context.Context, d subject.Device, mode subject.UnmapMode) {
	ginkgo.GinkgoHelper()
	gomega.Expect(p.Initiator.Unmap(ctx, d, mode)).To(gomega.Succeed())
	gomega.Eventually(p.Devices).WithContext(ctx).ShouldNot(gomega.ContainElement(d))
}

// Devices lists what is mapped.
func (p *Pair) Devices(ctx context.Context) []subject.Device {
	ginkgo.GinkgoHelper()
	devices, err := p.Initiator.Devices(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return devices
}

// State gives the state of a device.
func (p *Pair) State(ctx context.Context, d subject.Device) string {
	ginkgo.GinkgoHelper()
	state, err := p.Initiator.State(ctx, d)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return state
}

// Timers are the initiator's, with what it promises of the session of a device.
func (p *Pair) Timers(ctx context.Context, d subject.Device) subject.Timers {
	ginkgo.GinkgoHelper()
	promiser, is := p.Initiator.(subject.Promiser)
	if !is {
		return p.Initiator.Timers()
	}
	promises, err := promiser.Promises(ctx, d.Session)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return p.Initiator.Timers().Promised(promises)
}

// ConnectedPaths lists the paths of a session that are connected.
func (p *Pair) ConnectedPaths(ctx context.Context, session string) []subject.PathAddr {
	ginkgo.GinkgoHelper()
	paths, err := p.Initiator.Paths(ctx, session)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	var connected []subject.PathAddr
	for _, s := range paths {
		if s.Connected {
			connected = append(connected, s.PathAddr)
		}
	}
	return connected
}

// unique gives a name that no other spec of this worker has used.
func (p *Pair) unique(what string) string {
	p.named++
	return fmt.Sprintf("%s%d", what, p.named)
}

// LongName gives a name of so many characters.
func (p *Pair) LongName(length int) string {
	name := p.unique("long")
	return name + strings.Repeat("x", length-len(name))
}

// unmapAll gives up every device by force, and then the exports. What cannot be given up is an error.
func (p *Pair) unmapAll(ctx context.Context) error {
	devices, err := p.Initiator.Devices(ctx)
	errs := []error{err}
	for _, d := range devices {
		errs = append(errs, p.Initiator.Unmap(ctx, d, subject.UnmapForce))
	}
	for _, e := range slices.Backward(p.exports) {
		errs = append(errs, p.Target.Withdraw(ctx, e))
	}
	p.exports = nil
	return errors.Join(errs...)
}

// DiskThere says whether the disk of a device is there. One of NBD's, of which there is a fixed number, is there as long as it
// can be read.
func (p *Pair) DiskThere(ctx context.Context, d subject.Device) bool {
	ginkgo.GinkgoHelper()
	const block = 4096
	if p.Initiator.Info().Userland {
		return p.ReadAt(ctx, d, make([]byte, block), 0) == nil
	}
	return p.Client.Exists(ctx, path.Join("/sys/block", d.Disk))
}
