// SPDX-License-Identifier: Apache-2.0

package rdmatest

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Provider is what a conformance test runs on.
type Provider struct {
	// Open gives two devices that reach each other, for one test. The test closes them.
	Open func(t testing.TB) (client, server rdma.Device)
}

// test is one test of the conformance suite.
type test struct {
	name string
	run  func(t *testing.T, client, server rdma.Device)
}

// Conformance runs every test of the suite as a subtest on devices of its own, and checks for leaks after each.
func Conformance(t *testing.T, p Provider) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"connection", connectionTests},
		{"verbs", verbTests},
		{"window", windowTests},
		{"error", errorTests},
		{"close", closeTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, tt := range g.tests {
				t.Run(tt.name, func(t *testing.T) { runOne(t, p, tt) })
			}
		})
	}
}

func runOne(t *testing.T, p Provider, tt test) {
	NoLeaks(t)
	client, server := p.Open(t)
	t.Cleanup(func() {
		Close(t, client)
		if server != client {
			Close(t, server)
		}
	})
	tt.run(t, client, server)
}
