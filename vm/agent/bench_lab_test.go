// SPDX-License-Identifier: Apache-2.0

//go:build lab

package agent_test

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// BenchmarkBoot boots guests under TCG and reports, in milliseconds, when they answer and what they take to set up.
func BenchmarkBoot(b *testing.B) {
	for range b.N {
		begin := time.Now()
		m := startMachine(b)
		client := m.dial(b)
		ctx := testContext(b)
		step := func(name string, err error) {
			b.Helper()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(begin).Milliseconds()), name+"-ms")
			begin = time.Now()
		}
		step("hello", nil)
		nic := agent.Interface{MAC: railMAC, Name: "rail0", MTU: 4300, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.10.1/24")}}
		step("network", client.Configure(ctx, agent.Network{Interfaces: []agent.Interface{nic}}))
		step("rdma_rxe", client.LoadModule(ctx, "rdma_rxe"))
		nic.RDMA = "rxe0"
		step("rxe-link", client.Configure(ctx, agent.Network{Interfaces: []agent.Interface{nic}}))
		step("rnbd_client", client.LoadModule(ctx, "rnbd_client"))
		step("rnbd_server", client.LoadModule(ctx, "rnbd_server"))
		step("fio-layer", client.Unpack(ctx, m.image.Layers["fio"]))
		m.kill()
	}
}

// BenchmarkGuest measures what single operations cost in a guest under TCG.
func BenchmarkGuest(b *testing.B) {
	client := startMachine(b).dial(b)
	ctx := b.Context()
	b.Run("alive", func(b *testing.B) {
		for range b.N {
			if err := client.Alive(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for range b.N {
			if _, err := client.ReadFile(ctx, "/sys/kernel/uevent_seqnum"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("run", func(b *testing.B) {
		for range b.N {
			if _, err := client.Output(ctx, "true"); err != nil {
				b.Fatal(err)
			}
		}
	})
	const size = 8 << 20
	b.Run("copy in", func(b *testing.B) {
		b.SetBytes(size)
		for range b.N {
			if err := client.CopyIn(ctx, "/tmp/file", bytes.NewReader(make([]byte, size)), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy out", func(b *testing.B) {
		b.SetBytes(size)
		for range b.N {
			if err := client.CopyOut(ctx, "/tmp/file", io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
