// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/vm"
)

// LogLines are the lines that were logged on each side: by the kernel of its machine, and by its program if the subject is one.
type LogLines struct{ Target, Initiator int }

// ofOthers matches lines of the kernel that are no subject's: the NBD driver, by which a client in userspace has a disk, has one for
// each error that the client tells it.
var ofOthers = regexp.MustCompile(`^block nbd[0-9]+: `)

// lineCounter is a subject that counts the lines of a log of its own.
type lineCounter interface{ LogLines() int }

// CountLogLines counts what both sides log from now on.
func (p *Pair) CountLogLines(ctx context.Context) (count func(context.Context) LogLines) {
	ginkgo.GinkgoHelper()
	target := countLines(ctx, p.TargetHost, p.Target)
	initiator := countLines(ctx, p.InitiatorHost, p.Initiator)
	return func(ctx context.Context) LogLines {
		ginkgo.GinkgoHelper()
		return LogLines{target(ctx), initiator(ctx)}
	}
}

// countLines counts lines of one side. A record of the kernel's log may have several.
func countLines(ctx context.Context, host *vm.Host, subject any) func(context.Context) int {
	ginkgo.GinkgoHelper()
	said := func() int { return 0 }
	if l, logs := subject.(lineCounter); logs {
		said = l.LogLines
	}
	mark := func(ctx context.Context) vm.Mark {
		ginkgo.GinkgoHelper()
		m, err := host.KernelLog().Mark(ctx, "lines are counted")
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		return m
	}
	from, before := mark(ctx), said()
	return func(ctx context.Context) int {
		ginkgo.GinkgoHelper()
		records, err := host.KernelLog().Between(from+1, mark(ctx)) // without the line of the mark itself
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		n := said() - before
		for _, r := range records {
			if !ofOthers.MatchString(r.Text) {
				n += 1 + strings.Count(r.Text, "\n")
			}
		}
		return n
	}
}

// What Linux lets one place in it log when it is asked to be brief: ten lines in five seconds, and one that says how many were left
// out. A request that fails may be seen in so many places on one side: in the transport, in its client, in the block layer, in
// the disk.
const (
	briefLines  = 10 + 1
	briefTime   = 5 * time.Second
	briefPlaces = 5
)

// ExpectFewLines fails the spec when a side has logged more of failures, however many these were, than brief places do in a time.
func (p *Pair) ExpectFewLines(logged LogLines, within time.Duration) {
	ginkgo.GinkgoHelper()
	limit := briefPlaces * briefLines * int(1+within/briefTime+1)
	gomega.Expect(logged).To(gomega.HaveField("Target", gomega.BeNumerically("<=", limit)), "lines that the target has logged in %s", within)
	gomega.Expect(logged).To(gomega.HaveField("Initiator", gomega.BeNumerically("<=", limit)), "lines that the initiator has logged in %s", within)
}
