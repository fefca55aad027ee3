// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// imageTime is enough to make the image from nothing.
const imageTime = 15 * time.Minute

func TestLab(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "the lab")
}

// lab is the one that all specs share; a spec that breaks it leaves the repair to the next one's reset.
var (
	lab         *vm.Lab
	guest       *image.Image
	alpha, beta *vm.Host
)

var _ = BeforeSuite(func(ctx context.Context) {
	guest = buildImage(ctx, GinkgoTB())
	begin := time.Now()
	var err error
	lab, err = vm.Start(ctx, vm.Config{Image: guest, MTU: vm.LargeMTU, Modules: []string{"rnbd_server", "rnbd_client"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		Expect(lab.Close()).To(Succeed())
		Expect(machines()).To(BeEmpty(), "a QEMU outlived its lab")
	})
	AddReportEntry("two hosts ready", time.Since(begin).String(), ReportEntryVisibilityAlways)
	AddReportEntry("accelerator", lab.Accelerator(), ReportEntryVisibilityFailureOrVerbose)
	alpha, beta = lab.Host("alpha"), lab.Host("beta")
}, NodeTimeout(imageTime))

var _ = BeforeEach(func(ctx context.Context) {
	_, err := lab.Reset(ctx)
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(2*time.Minute))

// buildImage makes the image that lab tests boot.
func buildImage(ctx context.Context, t testing.TB) *image.Image {
	img, err := image.Build(ctx, image.Config{Modules: []string{"rnbd"}}, func(step string) { t.Log(step) })
	if err != nil {
		t.Fatal(err)
	}
	return img
}
