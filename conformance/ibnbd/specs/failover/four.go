// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Sessions of four paths, each over a rail of its own.

const fourPaths = 4

var _ = Describe("failover with four paths", kit.Rails(fourPaths), kit.Takes(secondsPerFault), func() {
	withPath := func(f fault, lost string, count int, w workload, decorators ...any) {
		It(fmt.Sprintf("on %s of %s%s: no I/O fails, none stalls beyond the bound, and all come back after heal", f.name, lost, w.while),
			claimsWithPath(w), decorators, func(ctx SpecContext) { runWithPath(ctx, f, w, count, fourPaths) })
	}
	withoutPath := func(f fault, decorators ...any) {
		It(fmt.Sprintf("on %s of all: I/O fails within the bound, and all come back after heal", f.name),
			claimsWithoutPath(f), decorators, func(ctx SpecContext) { runWithoutPath(ctx, f, fourPaths) })
	}
	withPath(silentLoss, "three", 3, writing)
	withPath(silentLoss, "one", 1, mixed, kit.Extended)
	withPath(carrierLoss, "one", 1, writing, kit.Extended)
	withPath(carrierLoss, "three", 3, mixed, kit.Extended)
	withoutPath(carrierLoss, kit.Extended)
	withoutPath(silentLoss, kit.Extended)
})
