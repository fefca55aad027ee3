// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// deafRig is a rig whose server hears and says nothing, so that the test alone answers the client.
func deafRig(t *testing.T, change func(*soft.Config, *rdma.ConnConfig)) *rig {
	t.Helper()
	r := newRig(t, change)
	r.b.Inject(soft.Fault{Name: "deaf", Stage: soft.Arrived, Drop: true, Match: toQueuePair})
	return r
}

// toQueuePair matches all but connection management.
func toQueuePair(p *soft.Packet) bool { return p.DestQP() != roce.GSIQPN }

// send makes a SEND of n bytes.
func send(r *rig, id uint64, n int) rdma.SendWR {
	return rdma.SendWR{ID: id, Op: rdma.OpSend, Local: part(r.memA, 0, n), Signaled: true}
}

// read makes a READ of n bytes.
func read(r *rig, id uint64, n int) rdma.SendWR {
	return rdma.SendWR{
		ID: id, Op: rdma.OpRead, Local: part(r.memA, 0, n), RemoteAddr: r.memB.Addr(), RemoteKey: r.memB.Key(), Signaled: true,
	}
}

func ack(psn int) thrown {
	return thrown{op: roce.RCAcknowledge, psn: psn, aeth: roce.ACKUnlimited}
}

func nak(psn int, code roce.NAKCode) thrown {
	return thrown{op: roce.RCAcknowledge, psn: psn, aeth: roce.NAKSyndrome(code)}
}

// wantSent compares what the client has sent.
func wantSent(t *testing.T, r *rig, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.sent(addrA)); diff != "" {
		t.Errorf("packets (- wanted, + got):\n%s", diff)
	}
}

// wantDone polls what is there and compares ids.
func wantDone(t *testing.T, r *rig, want ...uint64) {
	t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var got []uint64
	for {
		var done [1]rdma.Completion
		if n, _ := r.client.Poll(ctx, done[:]); n == 0 {
			break
		}
		must(t, done[0].Err())
		got = append(got, done[0].ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("completed work (- wanted, + got):\n%s", diff)
	}
}

func TestSegmentation(t *testing.T) {
	for _, tt := range []struct {
		op   rdma.Op
		n    int
		want []string
	}{
		{rdma.OpSend, 0, []string{"RC SEND Only 0 ack!"}},
		{rdma.OpSend, 1024, []string{"RC SEND Only 0 1024 bytes ack!"}},
		{rdma.OpSend, 1025, []string{"RC SEND First 0 1024 bytes", "RC SEND Last 1 1 bytes ack!"}},
		{rdma.OpSendImm, 10, []string{"RC SEND Only with Immediate 0 10 bytes ack!"}},
		{rdma.OpSendImm, 2049, []string{"RC SEND First 0 1024 bytes", "RC SEND Middle 1 1024 bytes", "RC SEND Last with Immediate 2 1 bytes ack!"}},
		{rdma.OpSendInv, 1030, []string{"RC SEND First 0 1024 bytes", "RC SEND Last with Invalidate 1 6 bytes ack!"}},
		{rdma.OpWrite, 0, []string{"RC RDMA WRITE Only 0 ack!"}},
		{rdma.OpWrite, 2048, []string{"RC RDMA WRITE First 0 1024 bytes", "RC RDMA WRITE Last 1 1024 bytes ack!"}},
		{rdma.OpWriteImm, 5, []string{"RC RDMA WRITE Only with Immediate 0 5 bytes ack!"}},
		{rdma.OpRead, 5000, []string{"RC RDMA READ Request 0 ack!"}},
	} {
		t.Run(tt.op.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deafRig(t, nil)
				wr := rdma.SendWR{Op: tt.op}
				if tt.n > 0 {
					wr.Local = part(r.memA, 0, tt.n)
				}
				must(t, r.client.PostSend(wr))
				wantSent(t, r, tt.want...)
			})
		})
	}
}

func TestAcknowledgeRequestedEvery64Packets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 100*1024)))
		asked := []int{}
		for i, s := range r.sent(addrA) {
			if s[len(s)-1] == '!' {
				asked = append(asked, i)
			}
		}
		if diff := cmp.Diff([]int{63, 99}, asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 200*1024)))
		if n := len(r.sent(addrA)); n != 128 {
			t.Errorf("%d packets without an answer, must be 128", n)
		}
		r.toClient(ack(9))
		if n := len(r.sent(addrA)); n != 10 {
			t.Errorf("%d packets after ten were acknowledged, must be 10", n)
		}
	})
}

// One acknowledgement completes all SENDs up to its packet.
func TestAcknowledgeCompletesAllBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 3000), send(r, 2, 3000), send(r, 3, 3000)))
		r.toClient(ack(4)) // the second message has packets 3 to 5
		wantDone(t, r, 1)
		r.toClient(ack(8))
		wantDone(t, r, 2, 3)
	})
}

// What was never sent, or has been answered, cannot be acknowledged.
func TestGhostAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 10)))
		r.sent(addrA)
		for _, psn := range []int{2, 3, 1000, -1, -2, -1000} {
			r.toClient(ack(psn))
			r.toClient(nak(psn, roce.NAKSequenceError))
			r.toClient(nak(psn, roce.NAKInvalidRequest))
		}
		wantDone(t, r)
		wantSent(t, r)
		r.toClient(ack(1))
		wantDone(t, r, 1, 2)
		if r.client.Err() != nil {
			t.Error(r.client.Err())
		}
	})
}

// A sequence NAK acknowledges what is before it and lets the rest be sent again, once.
func TestSequenceNAK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 2000), send(r, 3, 10)))
		r.sent(addrA)
		r.toClient(nak(2, roce.NAKSequenceError))
		wantDone(t, r, 1)
		wantSent(t, r, "RC SEND Last 2 976 bytes ack!", "RC SEND Only 3 10 bytes ack!")
		r.toClient(nak(2, roce.NAKSequenceError))
		wantSent(t, r)
		r.toClient(ack(3))
		wantDone(t, r, 2, 3)
	})
}

func TestFatalNAK(t *testing.T) {
	for code, status := range map[roce.NAKCode]rdma.Status{
		roce.NAKInvalidRequest:         rdma.StatusRemoteInvalid,
		roce.NAKRemoteAccessError:      rdma.StatusRemoteAccess,
		roce.NAKRemoteOperationalError: rdma.StatusRemoteOperation,
		roce.NAKInvalidRDRequest:       rdma.StatusBadResponse,
		17:                             rdma.StatusBadResponse,
	} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deafRig(t, nil)
				must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 10), send(r, 3, 10)))
				r.toClient(nak(1, code))
				for id, want := range []rdma.Status{rdma.StatusSuccess, status, rdma.StatusFlushed} {
					if done := one(t, r.client); done.ID != uint64(id+1) || done.Status != want {
						t.Errorf("completion %+v, must be %d with %s", done, id+1, want)
					}
				}
			})
		})
	}
}

// The retry timer repeats from the oldest packet that is not acknowledged, as often as was agreed.
func TestRetryTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, func(_ *soft.Config, c *rdma.ConnConfig) { c.RetryCount, c.AckTimeout = 2, 14 })
		period := roce.ACKTimeout(14)
		must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 10)))
		first := "RC SEND Only 0 10 bytes ack!"
		second := "RC SEND Only 1 10 bytes ack!"
		wantSent(t, r, first, second)
		time.Sleep(period - time.Nanosecond)
		wantSent(t, r)
		time.Sleep(time.Nanosecond)
		wantSent(t, r, first, second)
		r.toClient(ack(0))
		time.Sleep(period)
		wantSent(t, r, second)
		time.Sleep(period)
		wantSent(t, r, second)
		wantDone(t, r, 1)
		time.Sleep(period)
		if done := one(t, r.client); done.ID != 2 || done.Status != rdma.StatusRetryExceeded {
			t.Errorf("completion %+v, must be that retries are exceeded", done)
		}
		wantSent(t, r)
	})
}

// A receiver that is not ready is given the time that it asks for; neither a NAK nor the retry timer shortens it.
func TestRNRWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, func(_ *soft.Config, c *rdma.ConnConfig) { c.AckTimeout = 10 })
		must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 10)))
		r.sent(addrA)
		r.toClient(thrown{op: roce.RCAcknowledge, psn: 1, aeth: roce.RNRSyndrome(26)}) // 81.92 ms
		wantDone(t, r, 1)
		r.toClient(nak(1, roce.NAKSequenceError))
		must(t, r.client.PostSend(send(r, 3, 10)))
		time.Sleep(roce.RNRTime(26) - time.Nanosecond)
		wantSent(t, r)
		time.Sleep(time.Nanosecond)
		wantSent(t, r, "RC SEND Only 1 10 bytes ack!", "RC SEND Only 2 10 bytes ack!")
		r.toClient(ack(2))
		wantDone(t, r, 2, 3)
	})
}

func TestRNRRetries(t *testing.T) {
	for _, tt := range []struct{ retries, waits int }{{0, 0}, {2, 2}, {7, 30}} {
		synctest.Test(t, func(t *testing.T) {
			r := deafRig(t, func(_ *soft.Config, c *rdma.ConnConfig) { c.RNRRetryCount = tt.retries })
			must(t, r.client.PostSend(send(r, 1, 10)))
			for range tt.waits {
				r.toClient(thrown{op: roce.RCAcknowledge, aeth: roce.RNRSyndrome(1)})
				time.Sleep(roce.RNRTime(1))
				synctest.Wait()
			}
			if r.client.Err() != nil {
				t.Fatalf("retry count %d: lost after %d waits", tt.retries, tt.waits)
			}
			r.toClient(thrown{op: roce.RCAcknowledge, aeth: roce.RNRSyndrome(1)})
			if tt.retries == 7 {
				r.toClient(ack(0))
				wantDone(t, r, 1)
				return
			}
			if done := one(t, r.client); done.Status != rdma.StatusRNRRetryExceeded {
				t.Errorf("retry count %d: %+v after %d waits", tt.retries, done, tt.waits)
			}
		})
	}
}

// response is a READ response with the bytes that belong there.
func response(op roce.OpCode, psn, from, n int) thrown {
	return thrown{op: op, psn: psn, aeth: roce.ACKUnlimited, data: bytesOf(5000)[from : from+n]}
}

// A READ whose answer has a gap is asked again from the gap on, with the address and length that are left.
func TestReadRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		var requests []string
		r.a.Inject(soft.Fault{Stage: soft.Sealed, Change: func(p *soft.Packet) {
			if p.OpCode() == roce.RCReadRequest {
				var h roce.RETH
				must(t, h.Decode(p.Ext()))
				requests = append(requests, describeREAD(p.PSN().Sub(psnA), h.VA-r.memB.Addr(), h.DMALen))
			}
		}})
		must(t, r.client.PostSend(read(r, 1, 5000)))
		r.toClient(response(roce.RCReadResponseFirst, 0, 0, 1024))
		r.toClient(response(roce.RCReadResponseMiddle, 2, 2048, 1024)) // 1 is lost
		r.toClient(response(roce.RCReadResponseMiddle, 3, 3072, 1024)) // no further request for the same gap
		r.toClient(response(roce.RCReadResponseFirst, 1, 1024, 1024))
		r.toClient(response(roce.RCReadResponseMiddle, 2, 2048, 1024))
		r.toClient(response(roce.RCReadResponseMiddle, 2, 2048, 1024)) // again
		r.toClient(response(roce.RCReadResponseMiddle, 3, 3072, 1024))
		r.toClient(ack(4)) // an ACK does not complete it, it tells that the Last is lost
		wantDone(t, r)
		r.toClient(response(roce.RCReadResponseOnly, 4, 4096, 904))
		wantDone(t, r, 1)
		want := []string{describeREAD(0, 0, 5000), describeREAD(1, 1024, 3976), describeREAD(4, 4096, 904)}
		if diff := cmp.Diff(want, requests); diff != "" {
			t.Errorf("READ requests (- wanted, + got):\n%s", diff)
		}
		if diff := cmp.Diff(bytesOf(5000), r.memA.Bytes()[:5000]); diff != "" {
			t.Error("the READ brought something else")
		}
	})
}

func describeREAD(psn int, offset uint64, length uint32) string {
	return fmt.Sprintf("psn %d offset %d length %d", psn, offset, length)
}

// No more READs are in flight than were negotiated.
func TestReadDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, func(_ *soft.Config, c *rdma.ConnConfig) { c.InitiatorDepth, c.ResponderResources = 2, 2 })
		must(t, r.client.PostSend(read(r, 1, 10), read(r, 2, 10), read(r, 3, 10), send(r, 4, 10)))
		wantSent(t, r, "RC RDMA READ Request 0 ack!", "RC RDMA READ Request 1 ack!")
		r.toClient(response(roce.RCReadResponseOnly, 0, 0, 10))
		wantDone(t, r, 1)
		wantSent(t, r, "RC RDMA READ Request 2 ack!", "RC SEND Only 3 10 bytes ack!")
	})
}

// A READ response completes the SENDs before it.
func TestReadResponseAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRig(t, nil)
		must(t, r.client.PostSend(send(r, 1, 10), read(r, 2, 10), send(r, 3, 10)))
		r.toClient(response(roce.RCReadResponseOnly, 1, 0, 10))
		wantDone(t, r, 1, 2)
		r.toClient(ack(2))
		wantDone(t, r, 3)
	})
}

func TestBadReadResponse(t *testing.T) {
	for name, x := range map[string]thrown{
		"too short":  response(roce.RCReadResponseFirst, 0, 0, 1000),
		"too long":   response(roce.RCReadResponseFirst, 0, 0, 1028),
		"ends early": response(roce.RCReadResponseOnly, 0, 0, 1024),
		"no end":     response(roce.RCReadResponseMiddle, 0, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deafRig(t, nil)
				must(t, r.client.PostSend(read(r, 1, 2000)))
				r.toClient(x)
				if done := one(t, r.client); done.Status != rdma.StatusBadResponse {
					t.Errorf("completion %+v, must be a bad response", done)
				}
			})
		})
	}
}
