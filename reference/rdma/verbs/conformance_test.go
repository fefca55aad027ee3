// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/rdmatest"
	"github.com/ibnbd/ibnbd/reference/rdma/verbs"
)

// What the tests that need RDMA run on. The suite of the lab gives these to a static test binary in its guests; they are
// good for an RNIC too.
var (
	address = flag.String("address", "", "local address of an RDMA device; without it, tests that need one are skipped")
	dial    = flag.String("dial", "", "address and port of a TestServe on another host; without it, tests that need one are skipped")
	port    = flag.Int("serve", 0, "port that TestServe listens on; without it, TestServe is skipped")
	expect  = flag.String("expect", "", "how the connection of TestLost is to end")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *address != "" {
		warmUp()
	}
	os.Exit(m.Run())
}

// warmUp opens a device once: librdmacm keeps a context of each device that it has met, until the process ends, which
// would look like a leak of the first test.
func warmUp() {
	d, err := verbs.Open(netip.MustParseAddr(*address), verbs.Config{})
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// open opens the device that the flag names; the caller closes it.
func open(t testing.TB) rdma.Device {
	t.Helper()
	if *address == "" {
		t.Skip("needs an RDMA device: give its address with -address")
	}
	d, err := verbs.Open(netip.MustParseAddr(*address), verbs.Config{})
	rdmatest.Must(t, err)
	return d
}

// openClosed is open with a clean-up that closes.
func openClosed(t testing.TB) rdma.Device {
	t.Helper()
	d := open(t)
	t.Cleanup(func() { rdmatest.Close(t, d) })
	return d
}

// TestConformance connects the device with itself.
func TestConformance(t *testing.T) {
	rdmatest.Conformance(t, rdmatest.Provider{Open: func(t testing.TB) (client, server rdma.Device) {
		return open(t), open(t)
	}})
}
