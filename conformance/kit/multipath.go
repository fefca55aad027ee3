// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// Multipath is a device in which the kernel has joined block devices of the initiator that are paths to the same unit. A path on which
// I/O fails is not used any more until [Multipath.Check] finds that it works. I/O fails when no path is left.
type Multipath struct {
	testbed *Testbed
	node    string
	paths   []string // major and minor number of each device
}

// The name of the only such device, and the modules that it takes.
const multipathName = "joined"

var multipathModules = []string{"dm_multipath", "dm_round_robin"}

// Multipath joins block devices. It ends with the spec.
func (t *Testbed) Multipath(ctx context.Context, devices ...BlockDevice) *Multipath {
	ginkgo.GinkgoHelper()
	t.unpack(ctx, t.InitiatorHost, "dm")
	for _, module := range multipathModules {
		if err := t.InitiatorHost.Agent().LoadModule(ctx, module); !errors.Is(err, syscall.EEXIST) {
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
		}
	}
	m := &Multipath{testbed: t}
	const pathBurst = 1 // I/Os on one path before it is the next one's turn
	table := fmt.Sprintf("0 %d multipath 0 0 1 1 round-robin 0 %d 1", t.Size(ctx, devices[0])/512, len(devices))
	for _, d := range devices {
		number := t.Client.Word(ctx, path.Join("/sys/block", diskName(d), "dev"))
		m.paths = append(m.paths, number)
		table += fmt.Sprintf(" %s %d", number, pathBurst)
	}
	m.dmsetup(ctx, "create", multipathName, "--noudevsync", "--table", table)
	// What has it open is closed behind this; then it goes.
	t.AtEnd(func() {
		_, err := t.InitiatorHost.Agent().Output(context.WithoutCancel(ctx), "dmsetup", "remove", "--noudevsync", "--deferred", multipathName)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	})
	minor := strings.TrimSpace(m.dmsetup(ctx, "info", "-c", "--noheadings", "-o", "minor", multipathName))
	m.node = "/dev/dm-" + minor
	return m
}

func (m *Multipath) dmsetup(ctx context.Context, args ...string) string {
	ginkgo.GinkgoHelper()
	out, err := m.testbed.InitiatorHost.Agent().Output(ctx, "dmsetup", args...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return out
}

// NodePath is where its node is.
func (m *Multipath) NodePath() string { return m.node }

// Active says of each path whether it is used.
func (m *Multipath) Active(ctx context.Context) []bool {
	ginkgo.GinkgoHelper()
	active, err := m.active(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return active
}

func (m *Multipath) active(ctx context.Context) ([]bool, error) {
	status, err := m.testbed.InitiatorHost.Agent().Output(ctx, "dmsetup", "status", multipathName)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(status)
	active := make([]bool, len(m.paths))
	for i, number := range m.paths {
		at := slices.Index(words, number)
		if at < 0 || at+1 == len(words) {
			return nil, fmt.Errorf("the status of %s does not say how path %s is: %q", multipathName, number, status)
		}
		active[i] = words[at+1] == "A"
	}
	return active, nil
}

// Check has a path used again on which I/O has failed, once a period until the spec ends, if something says that it works.
func (m *Multipath) Check(ctx context.Context, period time.Duration, works func(path int) bool) {
	m.testbed.Follow(ctx, period, func(ctx context.Context) {
		defer ginkgo.GinkgoRecover()
		if err := m.check(ctx, works); ctx.Err() == nil {
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
		}
	})
}

func (m *Multipath) check(ctx context.Context, works func(path int) bool) error {
	active, err := m.active(ctx)
	if err != nil {
		return err
	}
	for i, is := range active {
		if is || !works(i) {
			continue
		}
		if _, err := m.testbed.InitiatorHost.Agent().Output(ctx, "dmsetup", "message", multipathName, "0", "reinstate_path", m.paths[i]); err != nil {
			return err
		}
	}
	return nil
}

// Outstanding is how many reads and writes of a block device are under way.
func (t *Testbed) Outstanding(ctx context.Context, d BlockDevice) int {
	ginkgo.GinkgoHelper()
	return t.sum(ctx, d, "inflight", 0, 1)
}

// Completed is how many reads and writes a block device has completed.
func (t *Testbed) Completed(ctx context.Context, d BlockDevice) int {
	ginkgo.GinkgoHelper()
	return t.sum(ctx, d, "stat", 0, 4)
}

// sum adds up two numbers of a file of a block device.
func (t *Testbed) sum(ctx context.Context, d BlockDevice, file string, reads, writes int) (sum int) {
	ginkgo.GinkgoHelper()
	words := strings.Fields(t.Client.Word(ctx, path.Join("/sys/block", diskName(d), file)))
	gomega.Expect(len(words)).To(gomega.BeNumerically(">", writes), "%s: %q", file, words)
	for _, i := range []int{reads, writes} {
		n, err := strconv.Atoi(words[i])
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		sum += n
	}
	return sum
}
