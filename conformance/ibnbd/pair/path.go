// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
)

// RDMAStats reads stats/rdma of a path: reads, bytes read, writes, bytes written, in flight, failed over.
func (p *Pair) RDMAStats(ctx context.Context, session string, path subject.PathAddr) []uint64 {
	ginkgo.GinkgoHelper()
	var numbers []uint64
	for _, word := range strings.Fields(p.Client.Word(ctx, p.Names().ClientPath(session, path)+"/stats/rdma")) {
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
