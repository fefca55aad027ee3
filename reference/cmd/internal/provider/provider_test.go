// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// TestEach: a provider opens its device, or says how a program is built that has it.
func TestEach(t *testing.T) {
	addr := netip.MustParseAddr("127.0.47.91") // of this test alone
	for _, name := range Names() {
		dev, err := Open(name, addr)
		switch {
		case name == Default && err != nil:
			t.Errorf("%s, the default: %v", name, err)
		case err == nil:
			if err := dev.Close(); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		case errors.Is(err, rdma.ErrUnavailable):
			if !strings.Contains(err.Error(), "-tags") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	if _, err := Open("hard", netip.MustParseAddr("127.0.0.1")); err == nil || !strings.Contains(err.Error(), `"hard"`) || !strings.Contains(err.Error(), "soft, verbs") {
		t.Errorf("Open: %v", err)
	}
}
