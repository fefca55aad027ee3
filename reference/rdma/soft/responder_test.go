// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

const noCredit = "(ACK, credits unlimited)"

// bytesOf gives n bytes of data.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	pattern(b, n)
	return b
}

// responderCases throw request packets at a responder with a path MTU of 1024. Every case begins at sequence number 0 of a
// new connection that has 32 receives of 4096 bytes.
var responderCases = []struct {
	name  string
	steps []thrown
	want  []string
	lost  bool
}{
	{"a message is acknowledged", []thrown{
		{op: roce.RCSendOnly, ack: true, data: bytesOf(5)},
	}, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}, false},

	{"what does not ask is not acknowledged, and is with the next that does", []thrown{
		{op: roce.RCSendOnly, data: bytesOf(5)},
		{op: roce.RCSendOnly, psn: 1, data: bytesOf(5)},
		{op: roce.RCSendOnly, psn: 2, ack: true},
	}, []string{"RC Acknowledge 2 " + noCredit + " msn 3"}, false},

	{"a packet in the middle that asks is acknowledged, without a message", []thrown{
		{op: roce.RCSendFirst, ack: true, data: bytesOf(1024)},
	}, []string{"RC Acknowledge 0 " + noCredit + " msn 0"}, false},

	{"a gap is reported once until the missing packet comes", []thrown{
		{op: roce.RCSendOnly, psn: 2, ack: true},
		{op: roce.RCSendOnly, psn: 3, ack: true},
		{op: roce.RCSendOnly, psn: 4, ack: true},
		{op: roce.RCSendOnly, psn: 0},
		{op: roce.RCSendOnly, psn: 5, ack: true},
	}, []string{"RC Acknowledge 0 (NAK, PSN sequence error) msn 0", "RC Acknowledge 1 (NAK, PSN sequence error) msn 1"}, false},

	{"a repeated message is acknowledged with the newest", []thrown{
		{op: roce.RCSendOnly, ack: true},
		{op: roce.RCWriteOnly, psn: 1, ack: true, length: 4, data: bytesOf(4)},
		{op: roce.RCSendOnly, psn: 0, ack: true},
	}, []string{
		"RC Acknowledge 0 " + noCredit + " msn 1", "RC Acknowledge 1 " + noCredit + " msn 2", "RC Acknowledge 1 " + noCredit + " msn 2",
	}, false},

	{"a repeated WRITE before a READ is acknowledged with itself", []thrown{
		{op: roce.RCWriteOnly, length: 4, data: bytesOf(4)},
		{op: roce.RCReadRequest, psn: 1, ack: true, length: 4},
		{op: roce.RCWriteOnly, ack: true, length: 4, data: bytesOf(4)},
	}, []string{"RC RDMA READ Response Only 1 " + noCredit + " msn 2 4 bytes", "RC Acknowledge 0 " + noCredit + " msn 2"}, false},

	{"a READ is answered with First, Middle, Last", []thrown{
		{op: roce.RCReadRequest, ack: true, length: 2500},
		{op: roce.RCSendOnly, psn: 3, ack: true},
	}, []string{
		"RC RDMA READ Response First 0 " + noCredit + " msn 1 1024 bytes",
		"RC RDMA READ Response Middle 1 1024 bytes",
		"RC RDMA READ Response Last 2 " + noCredit + " msn 1 452 bytes",
		"RC Acknowledge 3 " + noCredit + " msn 2",
	}, false},

	{"a READ of nothing, with any key", []thrown{
		{op: roce.RCReadRequest, ack: true, noKey: true},
	}, []string{"RC RDMA READ Response Only 0 " + noCredit + " msn 1"}, false},

	{"a WRITE of nothing, with any key", []thrown{
		{op: roce.RCWriteOnly, ack: true, key: 0xDEAD},
	}, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}, false},

	{"a repeated part of a READ is read again", []thrown{
		{op: roce.RCReadRequest, ack: true, length: 2500},
		{op: roce.RCReadRequest, psn: 2, ack: true, addr: 2048, length: 452},
	}, []string{
		"RC RDMA READ Response First 0 " + noCredit + " msn 1 1024 bytes",
		"RC RDMA READ Response Middle 1 1024 bytes",
		"RC RDMA READ Response Last 2 " + noCredit + " msn 1 452 bytes",
		"RC RDMA READ Response Only 2 " + noCredit + " msn 1 452 bytes",
	}, false},

	{"a repeated READ of something else is dropped", []thrown{
		{op: roce.RCReadRequest, ack: true, addr: 1000, length: 100},
		{op: roce.RCReadRequest, ack: true, addr: 1000, length: 101},
		{op: roce.RCReadRequest, ack: true, addr: 999, length: 100},
		{op: roce.RCReadRequest, ack: true, addr: 1000, length: 100, key: 0x77},
		{op: roce.RCReadRequest, psn: -1, ack: true, addr: 1000, length: 100},
	}, []string{"RC RDMA READ Response Only 0 " + noCredit + " msn 1 100 bytes"}, false},

	{"fetch and add, and its repetition", []thrown{
		{op: roce.RCFetchAdd, ack: true, addr: 8, swap: 5},
		{op: roce.RCFetchAdd, psn: 1, ack: true, addr: 8, swap: 5},
		{op: roce.RCFetchAdd, ack: true, addr: 8, swap: 5},
		{op: roce.RCFetchAdd, psn: 2, ack: true, addr: 8, swap: 0},
	}, []string{
		"RC Atomic Acknowledge 0 " + noCredit + " msn 1 original 0x100",
		"RC Atomic Acknowledge 1 " + noCredit + " msn 2 original 0x105",
		"RC Atomic Acknowledge 0 " + noCredit + " msn 1 original 0x100",
		"RC Atomic Acknowledge 2 " + noCredit + " msn 3 original 0x10a",
	}, false},

	{"compare and swap", []thrown{
		{op: roce.RCCompareSwap, ack: true, addr: 8, compare: 0x101, swap: 7},
		{op: roce.RCCompareSwap, psn: 1, ack: true, addr: 8, compare: 0x100, swap: 7},
		{op: roce.RCCompareSwap, psn: 2, ack: true, addr: 8, compare: 7, swap: 8},
	}, []string{
		"RC Atomic Acknowledge 0 " + noCredit + " msn 1 original 0x100",
		"RC Atomic Acknowledge 1 " + noCredit + " msn 2 original 0x100",
		"RC Atomic Acknowledge 2 " + noCredit + " msn 3 original 0x7",
	}, false},

	{"an atomic off its alignment", []thrown{
		{op: roce.RCFetchAdd, ack: true, addr: 4, swap: 5},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"nothing is answered after a fatal NAK", []thrown{
		{op: roce.RCSendMiddle, ack: true, data: bytesOf(1024)},
		{op: roce.RCSendOnly, ack: true},
		{op: roce.RCReadRequest, psn: 1, ack: true},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"a First inside a message", []thrown{
		{op: roce.RCSendFirst, data: bytesOf(1024)},
		{op: roce.RCSendFirst, psn: 1, data: bytesOf(1024)},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a WRITE goes on as a SEND", []thrown{
		{op: roce.RCWriteFirst, length: 2000, data: bytesOf(1024)},
		{op: roce.RCSendLast, psn: 1, data: bytesOf(976)},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a READ inside a message", []thrown{
		{op: roce.RCSendFirst, data: bytesOf(1024)},
		{op: roce.RCReadRequest, psn: 1, length: 1},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a First that is not full", []thrown{
		{op: roce.RCSendFirst, data: bytesOf(1020)},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"an Only that is more than full", []thrown{
		{op: roce.RCSendOnly, data: bytesOf(1025)},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"an empty Last", []thrown{
		{op: roce.RCSendFirst, data: bytesOf(1024)},
		{op: roce.RCSendLast, psn: 1},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a WRITE shorter than announced", []thrown{
		{op: roce.RCWriteOnly, length: 5, data: bytesOf(4)},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"a WRITE longer than announced", []thrown{
		{op: roce.RCWriteFirst, length: 1025, data: bytesOf(1024)},
		{op: roce.RCWriteLast, psn: 1, data: bytesOf(2)},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a WRITE that ends too early", []thrown{
		{op: roce.RCWriteFirst, length: 5000, data: bytesOf(1024)},
		{op: roce.RCWriteLast, psn: 1, data: bytesOf(1000)},
	}, []string{"RC Acknowledge 1 (NAK, invalid request) msn 0"}, true},

	{"a WRITE of more than 2^31 bytes", []thrown{
		{op: roce.RCWriteFirst, length: 1<<31 + 1, data: bytesOf(1024)},
	}, []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, true},

	{"an unknown key", []thrown{
		{op: roce.RCWriteOnly, length: 4, key: 0x12345678, data: bytesOf(4)},
	}, []string{"RC Acknowledge 0 (NAK, remote access error) msn 0"}, true},

	{"a WRITE whose end, far away, lies outside", []thrown{
		{op: roce.RCWriteFirst, addr: testMemory - 2000, length: 2001, data: bytesOf(1024)},
	}, []string{"RC Acknowledge 0 (NAK, remote access error) msn 0"}, true},

	{"a READ outside", []thrown{
		{op: roce.RCReadRequest, ack: true, addr: -1, length: 1},
	}, []string{"RC Acknowledge 0 (NAK, remote access error) msn 0"}, true},

	{"a SEND longer than the receive", []thrown{
		{op: roce.RCSendFirst, data: bytesOf(1024)},
		{op: roce.RCSendMiddle, psn: 1, data: bytesOf(1024)},
		{op: roce.RCSendMiddle, psn: 2, data: bytesOf(1024)},
		{op: roce.RCSendMiddle, psn: 3, data: bytesOf(1024)},
		{op: roce.RCSendLast, psn: 4, data: bytesOf(1)},
	}, []string{"RC Acknowledge 4 (NAK, invalid request) msn 0"}, true},

	{"a key that cannot be taken back", []thrown{
		{op: roce.RCSendOnlyInvalidate, ack: true, imm: 0x4711},
	}, []string{"RC Acknowledge 0 (NAK, remote operational error) msn 0"}, true},

	{"packets that are not for this connection, or broken", []thrown{
		{op: roce.RCSendOnly, ack: true, src: "10.0.0.7"},
		{op: roce.RCSendOnly, ack: true, edit: func(b *roce.BTH) { b.PKey = 0x1234 }},
		{op: roce.RCSendOnly, ack: true, edit: func(b *roce.BTH) { b.TVer = 1 }},
		{op: roce.RCSendOnly, ack: true, seal: 1},
		{op: roce.UDSendOnly, ack: true, imm: 1},
		{op: roce.UCSendOnly, ack: true},
		{op: 0x1F, ack: true},
		{op: roce.CNP},
	}, nil, false},

	{"what a receiver must tolerate", []thrown{
		{op: roce.RCSendOnly, ack: true, edit: func(b *roce.BTH) { b.PKey, b.MigReq, b.Reserved7, b.Reserved6, b.FECN = 0x7FFF, true, 0x55, 0x2A, true }},
	}, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}, false},
}

func TestResponder(t *testing.T) {
	for _, tt := range responderCases {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				binary.NativeEndian.PutUint64(r.memB.Bytes()[8:], 0x100)
				for _, x := range tt.steps {
					r.toServer(x)
				}
				if diff := cmp.Diff(tt.want, r.sent(addrB)); diff != "" {
					t.Errorf("answers (- wanted, + got):\n%s", diff)
				}
				if lost := r.server.Err() != nil; lost != tt.lost {
					t.Errorf("the connection is lost: %t (%v), must be %t", lost, r.server.Err(), tt.lost)
				}
			})
		})
	}
}

// A missing receive is reported once; what follows in the burst is dropped. When the message comes again it is taken.
func TestReceiverNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.MinRNRTimer = 26 })
		for i := range 32 {
			r.toServer(thrown{op: roce.RCSendOnly, psn: i})
		}
		for i := 32; i < 36; i++ {
			r.toServer(thrown{op: roce.RCSendOnly, psn: i, ack: true})
		}
		want := []string{"RC Acknowledge 32 (RNR NAK, 81.92ms) msn 32"}
		if diff := cmp.Diff(want, r.sent(addrB)); diff != "" {
			t.Error(diff)
		}
		for range 32 {
			must(t, one(t, r.server).Err())
		}
		must(t, r.server.PostRecv(recvs(r.memB, 1)...))
		r.toServer(thrown{op: roce.RCSendOnly, psn: 32, ack: true})
		want = []string{"RC Acknowledge 32 " + noCredit + " msn 33"}
		if diff := cmp.Diff(want, r.sent(addrB)); diff != "" {
			t.Error(diff)
		}
	})
}

// A WRITE with immediate needs its receive at the last packet only, and places nothing of that packet without one.
func TestWriteImmediateReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for i := range 32 {
			r.toServer(thrown{op: roce.RCSendOnly, psn: i})
		}
		r.toServer(thrown{op: roce.RCWriteFirst, psn: 32, ack: true, length: 1100, data: bytesOf(1024)})
		r.toServer(thrown{op: roce.RCWriteLastImm, psn: 33, ack: true, imm: 7, data: bytesOf(76)})
		want := []string{"RC Acknowledge 32 " + noCredit + " msn 32", "RC Acknowledge 33 (RNR NAK, 640µs) msn 32"}
		if diff := cmp.Diff(want, r.sent(addrB)); diff != "" {
			t.Error(diff)
		}
		if !bytes.Equal(r.memB.Bytes()[:1024], bytesOf(1024)) || !bytes.Equal(r.memB.Bytes()[1024:1100], make([]byte, 76)) {
			t.Error("the first packet must be placed, the last not")
		}
		for range 32 {
			must(t, one(t, r.server).Err())
		}
		must(t, r.server.PostRecv(rdma.RecvWR{ID: 90}))
		r.toServer(thrown{op: roce.RCWriteLastImm, psn: 33, ack: true, imm: 7, data: bytesOf(76)})
		if diff := cmp.Diff(rdma.Completion{ID: 90, Recv: true, Op: rdma.OpWriteImm, Length: 1100, Imm: 7}, one(t, r.server)); diff != "" {
			t.Error(diff)
		}
	})
}

// Bytes that repeated packets carry are not placed.
func TestDuplicateNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.toServer(thrown{op: roce.RCWriteOnly, ack: true, length: 4, data: []byte("once")})
		copy(r.memB.Bytes(), "kept")
		r.toServer(thrown{op: roce.RCWriteOnly, ack: true, length: 4, data: []byte("once")})
		if got := string(r.memB.Bytes()[:4]); got != "kept" {
			t.Errorf("memory after a repeated WRITE: %q", got)
		}
		r.toServer(thrown{op: roce.RCSendOnly, psn: 1, data: []byte("a")})
		r.toServer(thrown{op: roce.RCSendOnly, psn: 1, data: []byte("a")})
		r.toServer(thrown{op: roce.RCSendOnlyImm, psn: 2, imm: 9})
		if first, second := one(t, r.server), one(t, r.server); first.Op != rdma.OpSend || second.Op != rdma.OpSendImm {
			t.Errorf("a repeated SEND was executed: %+v, then %+v", first, second)
		}
	})
}

// Without responder resources a READ is an invalid request.
func TestReadNotNegotiated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *soft.Config, c *rdma.ConnConfig) { c.ResponderResources = 0 })
		r.toServer(thrown{op: roce.RCReadRequest, ack: true, length: 4})
		want := []string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}
		if diff := cmp.Diff(want, r.sent(addrB)); diff != "" {
			t.Error(diff)
		}
	})
}

// A responder remembers as many READs as it has resources for.
func TestReadsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for i := range 5 {
			r.toServer(thrown{op: roce.RCReadRequest, psn: i, ack: true, addr: i, length: 1})
		}
		r.sent(addrB)
		for i := range 5 {
			r.toServer(thrown{op: roce.RCReadRequest, psn: i, ack: true, addr: i, length: 1})
		}
		if got := len(r.sent(addrB)); got != testConn.ResponderResources {
			t.Errorf("%d repeated READs were answered, must be the last %d", got, testConn.ResponderResources)
		}
	})
}

// Acknowledgements can be held back for more messages, but not for long.
func TestAcknowledgeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.AckDelay, c.AckEvery = 1000, 4 })
		for i := range 6 {
			r.toServer(thrown{op: roce.RCSendOnly, psn: i, ack: true})
		}
		got := r.sent(addrB)
		if !slices.Equal(got, []string{"RC Acknowledge 3 " + noCredit + " msn 4"}) {
			t.Errorf("answers to six messages: %q, must be one after four", got)
		}
	})
}

// The credit code in acknowledgements can be chosen.
func TestCreditCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Credits = 6 })
		r.toServer(thrown{op: roce.RCSendOnly, ack: true})
		if got := r.sent(addrB); !slices.Equal(got, []string{"RC Acknowledge 0 (ACK, 8 credits) msn 1"}) {
			t.Errorf("answer: %q", got)
		}
	})
}
