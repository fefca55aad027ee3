// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm_test

import (
	"context"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
)

var _ = Describe("a lab with an IOMMU", func() {
	It("has the devices of its hosts behind it, and so when they go on from templates", func(ctx context.Context) {
		spec := vm.Config{
			Image: guest, MTU: vm.LargeMTU, IOMMU: true, Modules: []string{"rnbd_server", "rnbd_client"},
			Accelerator: lab.Accelerator().Accelerator, Templates: filepath.Join(GinkgoT().TempDir(), "templates"),
		}
		for range 2 {
			begin := time.Now()
			l, err := vm.Start(ctx, spec)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(l.Close)
			AddReportEntry("two hosts ready", time.Since(begin).String(), ReportEntryVisibilityAlways)
			for i, h := range l.Hosts() {
				for _, nic := range h.NICs() {
					there, err := h.Agent().Exists(ctx, "/sys/class/net/"+nic.Interface+"/device/../iommu_group")
					Expect(err).NotTo(HaveOccurred())
					Expect(there).To(BeTrue(), "%s of %s is behind an IOMMU", nic.Interface, h.Name())
				}
				other := l.Hosts()[1-i]
				Expect(h.Ping(ctx, other.NIC(1).IPv4.Addr().String())).To(Succeed())
			}
		}
		there, err := alpha.Agent().Exists(ctx, "/sys/class/net/"+alpha.NIC(0).Interface+"/device/../iommu_group")
		Expect(err).NotTo(HaveOccurred())
		Expect(there).To(BeFalse(), "one is there that no spec asks for")
	}, NodeTimeout(3*time.Minute))
})
