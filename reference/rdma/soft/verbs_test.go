// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

func TestSendWriteRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connected(t, soft.Config{}, soft.Config{})
		if got := string(bytes.TrimRight(p.client.PeerData(), "\x00")); got != "welcome" {
			t.Errorf("private data of the reply: %q", got)
		}
		pattern(p.memA.Bytes()[:200_000], 1)
		must(t, p.client.PostSend(
			rdma.SendWR{ID: 1, Op: rdma.OpWrite, Local: part(p.memA, 0, 200_000), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key()},
			rdma.SendWR{ID: 2, Op: rdma.OpSendImm, Local: part(p.memA, 100, 4000), Imm: 0x11223344, Signaled: true},
		))
		if diff := cmp.Diff(rdma.Completion{ID: 2, Op: rdma.OpSendImm}, one(t, p.client)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(rdma.Completion{ID: 0, Recv: true, Op: rdma.OpSendImm, Length: 4000, Imm: 0x11223344}, one(t, p.server)); diff != "" {
			t.Error(diff)
		}
		if !bytes.Equal(p.memA.Bytes()[:200_000], p.memB.Bytes()[:200_000]) {
			t.Error("the WRITE has not arrived as sent")
		}
		must(t, p.server.PostSend(rdma.SendWR{
			ID: 3, Op: rdma.OpRead, Local: part(p.memB, 300_000, 123_457), RemoteAddr: p.memA.Addr() + 5, RemoteKey: p.memA.Key(), Signaled: true,
		}))
		if diff := cmp.Diff(rdma.Completion{ID: 3, Op: rdma.OpRead, Length: 123_457}, one(t, p.server)); diff != "" {
			t.Error(diff)
		}
		if !bytes.Equal(p.memA.Bytes()[5:5+123_457], p.memB.Bytes()[300_000:300_000+123_457]) {
			t.Error("the READ has not brought what is there")
		}
	})
}
