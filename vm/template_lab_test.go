// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm"
)

var _ = Describe("a lab from templates", Ordered, func() {
	var (
		spec          vm.Config
		first, second *vm.Lab
	)

	BeforeAll(func(ctx context.Context) {
		spec = vm.Config{
			Image: guest, MTU: vm.LargeMTU, Modules: []string{"rnbd_server", "rnbd_client"},
			Accelerator: lab.Accelerator().Accelerator, Templates: filepath.Join(GinkgoT().TempDir(), "templates"),
		}
		for _, l := range []**vm.Lab{&first, &second} {
			begin := time.Now()
			var err error
			*l, err = vm.Start(ctx, spec)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup((*l).Close)
			AddReportEntry("two hosts ready", time.Since(begin).String(), ReportEntryVisibilityAlways)
		}
	}, NodeTimeout(2*time.Minute))

	It("goes on where the first one was, with its modules and its network", func(ctx context.Context) {
		for i, h := range second.Hosts() {
			Expect(bootTimes(ctx, h)).To(Equal(bootTimes(ctx, first.Hosts()[i])))
			Expect(word(ctx, h, "/proc/sys/kernel/hostname")).To(Equal(h.Name()))
			Expect(word(ctx, h, "/sys/module/rnbd_server/initstate")).To(Equal("live"))
			Expect(word(ctx, h, "/sys/class/infiniband/rxe1/ports/1/state")).To(Equal("4: ACTIVE"))
		}
	}, specTime)

	It("leaves the hosts alive from which the templates were made", func(ctx context.Context) {
		alpha, beta := first.Hosts()[0], first.Hosts()[1]
		Expect(alpha.Ping(ctx, beta.NIC(0).IPv4.Addr().String())).To(Succeed())
	}, specTime)

	It("has random numbers of its own", func(ctx context.Context) {
		for i, h := range second.Hosts() {
			Expect(word(ctx, h, "/proc/sys/kernel/random/uuid")).NotTo(Equal(word(ctx, first.Hosts()[i], "/proc/sys/kernel/random/uuid")))
		}
	}, specTime)

	It("knows the time", func(ctx context.Context) {
		clock, err := second.Hosts()[0].Agent().Clock(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(clock.Realtime).To(BeNumerically("~", 0, time.Second))
	}, specTime)

	It("replaces all hosts from them, and one by a boot", func(ctx context.Context) {
		alpha, beta := second.Hosts()[0], second.Hosts()[1]
		old := bootTimes(ctx, alpha)
		Expect(alpha.Agent().WriteFile(ctx, "/proc/sys/kernel/hostname", []byte("other"))).To(Succeed())
		Expect(second.ReplaceAll(ctx)).To(Succeed())
		Expect(bootTimes(ctx, alpha)).To(Equal(old))
		Expect(word(ctx, alpha, "/proc/sys/kernel/hostname")).To(Equal("alpha"))
		Expect(second.Replace(ctx, alpha)).To(Succeed())
		Expect(bootTimes(ctx, alpha)).NotTo(Equal(old))
		Expect(alpha.Ping(ctx, beta.NIC(1).IPv6.Addr().String())).To(Succeed())
		_, err := alpha.KernelLog().Mark(ctx, "end")
		Expect(err).NotTo(HaveOccurred())
		records, err := alpha.KernelLog().Since(0)
		Expect(err).NotTo(HaveOccurred())
		Expect(records[len(records)-1].Boot).To(Equal(3))
	}, specTime)

	It("does not take those of hosts that are not like its own", func(ctx context.Context) {
		other := spec
		other.Modules, other.Rails = nil, 1
		l, err := vm.Start(ctx, other)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		Expect(l.Hosts()[0].Agent().Exists(ctx, "/sys/module/rnbd_server/initstate")).To(BeFalse())
	}, specTime)

	It("says which directory is full", func(ctx context.Context) {
		cramped := spec
		cramped.Templates = full()
		_, err := vm.Start(ctx, cramped)
		Expect(err).To(MatchError(And(ContainSubstring("no space left"), ContainSubstring("free space in "+cramped.Templates))))
	}, specTime)

	It("says which directory it cannot use", func(ctx context.Context) {
		file := filepath.Join(GinkgoT().TempDir(), "file")
		Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
		unusable := spec
		unusable.Templates = file
		_, err := vm.Start(ctx, unusable)
		Expect(err).To(MatchError(And(ContainSubstring(file), ContainSubstring("choose another directory"))))
	}, specTime)
})

// full is a directory on a file system without room for a guest.
func full() string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")).To(Succeed())
	DeferCleanup(unix.Unmount, dir, 0)
	return dir
}

// bootTimes are those of the first lines of a host's kernel log, in microseconds. No two boots have the same.
func bootTimes(ctx context.Context, h *vm.Host) string {
	GinkgoHelper()
	out, err := h.Agent().Output(ctx, "dmesg")
	Expect(err).NotTo(HaveOccurred())
	const lines = 100
	times := regexp.MustCompile(`(?m)^\[[^]]*\]`).FindAllString(out, lines)
	Expect(times).To(HaveLen(lines))
	return strings.Join(times, " ")
}

// word is what a file of a host says.
func word(ctx context.Context, h *vm.Host, file string) string {
	GinkgoHelper()
	data, err := h.Agent().ReadFile(ctx, file)
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(data))
}
