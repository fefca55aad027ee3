// SPDX-License-Identifier: Apache-2.0

//go:build !(verbs && cgo && linux)

package verbs_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/verbs"
)

func TestOpenSaysHowToBuild(t *testing.T) {
	_, err := verbs.Open(netip.MustParseAddr("10.0.0.1"), verbs.Config{})
	if !errors.Is(err, rdma.ErrUnavailable) {
		t.Errorf("%v is not rdma.ErrUnavailable", err)
	}
	if err == nil || !strings.Contains(err.Error(), "-tags verbs") || !strings.Contains(err.Error(), "10.0.0.1") {
		t.Errorf("%q does not say what to do about which device", err)
	}
}
