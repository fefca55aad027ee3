// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm"
)

// unpack brings a layer of the image to a host, once for each machine that the host has: programs that few specs need are
// not in what every machine boots.
func (t *Testbed) unpack(ctx context.Context, host *vm.Host, layer string) {
	ginkgo.GinkgoHelper()
	client := host.Agent()
	if t.unpacked[client] == nil {
		t.unpacked[client] = make(map[string]bool)
	}
	if t.unpacked[client][layer] {
		return
	}
	if err := client.Unpack(ctx, t.Lab.Config().Image.Layers[layer]); err != nil {
		specreport.Broke(verdict.SetupFailed, "layer %s: %v", layer, err)
	}
	t.unpacked[client][layer] = true
}
