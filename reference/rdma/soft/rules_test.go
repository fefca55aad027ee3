// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Each switch does what it says, and nothing when it is off.

var responderRules = []struct {
	name       string
	rules      soft.Rules
	steps      []thrown
	conforming []string
	want       []string
}{
	{"NoAck", soft.Rules{NoAck: true}, []thrown{{op: roce.RCSendOnly, ack: true}},
		[]string{"RC Acknowledge 0 " + noCredit + " msn 1"}, nil},
	{"AcceptOutOfSequence", soft.Rules{AcceptOutOfSequence: true}, []thrown{{op: roce.RCSendOnly, psn: 2, ack: true}},
		[]string{"RC Acknowledge 0 (NAK, PSN sequence error) msn 0"}, []string{"RC Acknowledge 2 " + noCredit + " msn 1"}},
	{"NoSequenceNAK", soft.Rules{NoSequenceNAK: true}, []thrown{{op: roce.RCSendOnly, psn: 2, ack: true}},
		[]string{"RC Acknowledge 0 (NAK, PSN sequence error) msn 0"}, nil},
	{"RepeatSequenceNAK", soft.Rules{RepeatSequenceNAK: true}, []thrown{{op: roce.RCSendOnly, psn: 2}, {op: roce.RCSendOnly, psn: 3}},
		[]string{"RC Acknowledge 0 (NAK, PSN sequence error) msn 0"},
		[]string{"RC Acknowledge 0 (NAK, PSN sequence error) msn 0", "RC Acknowledge 0 (NAK, PSN sequence error) msn 0"}},
	{"LongSendIsOperation", soft.Rules{LongSendIsOperation: true}, longSend,
		[]string{"RC Acknowledge 4 (NAK, invalid request) msn 0"}, []string{"RC Acknowledge 4 (NAK, remote operational error) msn 0"}},
	{"IgnoreOpSequence", soft.Rules{IgnoreOpSequence: true}, []thrown{{op: roce.RCSendLast, ack: true, data: bytesOf(4)}},
		[]string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}},
	{"IgnoreLengths", soft.Rules{IgnoreLengths: true}, []thrown{{op: roce.RCSendFirst, ack: true, data: bytesOf(4)}},
		[]string{"RC Acknowledge 0 (NAK, invalid request) msn 0"}, []string{"RC Acknowledge 0 " + noCredit + " msn 0"}},
	{"KeepInvalidatedKey", soft.Rules{KeepInvalidatedKey: true}, []thrown{{op: roce.RCSendOnlyInvalidate, ack: true, imm: 1}},
		[]string{"RC Acknowledge 0 (NAK, remote operational error) msn 0"}, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}},
	{"MSNStuck", soft.Rules{MSNStuck: true}, []thrown{{op: roce.RCSendOnly, ack: true}},
		[]string{"RC Acknowledge 0 " + noCredit + " msn 1"}, []string{"RC Acknowledge 0 " + noCredit + " msn 0"}},
	{"IgnoreICRC", soft.Rules{IgnoreICRC: true}, []thrown{{op: roce.RCSendOnly, ack: true, seal: 1}},
		nil, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}},
	{"IgnorePeerAddr", soft.Rules{IgnorePeerAddr: true}, []thrown{{op: roce.RCSendOnly, ack: true, src: "10.0.0.7"}},
		nil, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}},
	{"IgnorePKey", soft.Rules{IgnorePKey: true}, []thrown{{op: roce.RCSendOnly, ack: true, edit: func(b *roce.BTH) { b.PKey = 1 }}},
		nil, []string{"RC Acknowledge 0 " + noCredit + " msn 1"}},
}

// longSend is a SEND of one byte more than a receive has.
var longSend = []thrown{
	{op: roce.RCSendFirst, data: bytesOf(1024)},
	{op: roce.RCSendMiddle, psn: 1, data: bytesOf(1024)},
	{op: roce.RCSendMiddle, psn: 2, data: bytesOf(1024)},
	{op: roce.RCSendMiddle, psn: 3, data: bytesOf(1024)},
	{op: roce.RCSendLast, psn: 4, data: bytesOf(1)},
}

func TestResponderRules(t *testing.T) {
	for _, tt := range responderRules {
		for _, rules := range []soft.Rules{{}, tt.rules} {
			want := tt.want
			if rules == (soft.Rules{}) {
				want = tt.conforming
			}
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules = rules })
					for _, x := range tt.steps {
						r.toServer(x)
					}
					if diff := cmp.Diff(want, r.sent(addrB)); diff != "" {
						t.Errorf("rules %+v: answers (- wanted, + got):\n%s", rules, diff)
					}
				})
			})
		}
	}
}

// Without receives, two SENDs in a burst.
func TestReceiverNotReadyRules(t *testing.T) {
	rnr := "RC Acknowledge 32 (RNR NAK, 640µs) msn 32"
	for _, tt := range []struct {
		rules soft.Rules
		want  []string
	}{
		{soft.Rules{}, []string{rnr}},
		{soft.Rules{NoRNR: true}, []string{"RC Acknowledge 32 (NAK, PSN sequence error) msn 32"}},
		{soft.Rules{NAKAfterRNR: true}, []string{rnr, "RC Acknowledge 32 (NAK, PSN sequence error) msn 32"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules = tt.rules })
			for i := range 32 {
				r.toServer(thrown{op: roce.RCSendOnly, psn: i})
			}
			r.toServer(thrown{op: roce.RCSendOnly, psn: 32, ack: true})
			r.toServer(thrown{op: roce.RCSendOnly, psn: 33, ack: true})
			if diff := cmp.Diff(tt.want, r.sent(addrB)); diff != "" {
				t.Errorf("rules %+v: %s", tt.rules, diff)
			}
		})
	}
}

func TestExecuteDuplicatesRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules.ExecuteDuplicates = true })
		r.toServer(thrown{op: roce.RCWriteOnly, length: 4, data: []byte("once")})
		copy(r.memB.Bytes(), "kept")
		r.toServer(thrown{op: roce.RCWriteOnly, length: 4, data: []byte("once")})
		if got := string(r.memB.Bytes()[:4]); got != "once" {
			t.Errorf("memory after a repeated WRITE: %q", got)
		}
	})
}

func TestAnswerAfterErrorRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules.AnswerAfterError = true })
		r.toServer(thrown{op: roce.RCSendMiddle, data: bytesOf(1024)})
		r.sent(addrB)
		r.toServer(thrown{op: roce.RCReadRequest, length: 1})
		if got := r.sent(addrB); !slices.Equal(got, []string{"RC RDMA READ Response Only 0 " + noCredit + " msn 1 1 bytes"}) {
			t.Errorf("answers after an error: %q", got)
		}
	})
}

func TestAccessRightsRule(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules.IgnoreAccessRights = ignore })
			mem, err := r.b.Register(4096, rdma.LocalWrite)
			must(t, err)
			defer closeAll(t, mem)
			must(t, r.client.PostSend(rdma.SendWR{Op: rdma.OpWrite, Local: part(r.memA, 0, 4), RemoteAddr: mem.Addr(), RemoteKey: mem.Key(), Signaled: true}))
			if ok := one(t, r.client).Status == rdma.StatusSuccess; ok != ignore {
				t.Errorf("IgnoreAccessRights %t: the WRITE succeeds: %t", ignore, ok)
			}
		})
	}
}

func TestRequesterRules(t *testing.T) {
	sendOnly, sendSecond := "RC SEND Only 0 10 bytes ack!", "RC SEND Only 1 10 bytes ack!"
	period := roce.ACKTimeout(uint8(testConn.AckTimeout))
	for _, tt := range []struct {
		name  string
		rules soft.Rules
		run   func(t *testing.T, r *rig)
		want  []string
	}{
		{"NoAckReq", soft.Rules{NoAckReq: true}, nil, []string{"RC SEND Only 0 10 bytes", "RC SEND Only 1 10 bytes"}},
		{"SkipPSN", soft.Rules{SkipPSN: true}, nil, []string{"RC SEND Only 1 10 bytes ack!", "RC SEND Only 3 10 bytes ack!"}},
		{"IgnoreSequenceNAK", soft.Rules{IgnoreSequenceNAK: true}, func(_ *testing.T, r *rig) {
			r.toClient(nak(0, roce.NAKSequenceError))
		}, []string{sendOnly, sendSecond}},
		{"NoTimeout", soft.Rules{NoTimeout: true}, func(*testing.T, *rig) { time.Sleep(3 * period) }, []string{sendOnly, sendSecond}},
		{"NoRetransmit", soft.Rules{NoRetransmit: true}, func(*testing.T, *rig) { time.Sleep(3 * period) }, []string{sendOnly, sendSecond}},
		{"IgnoreRNRWait", soft.Rules{IgnoreRNRWait: true}, func(_ *testing.T, r *rig) {
			r.toClient(thrown{op: roce.RCAcknowledge, aeth: roce.RNRSyndrome(31)})
			must(r.t, r.client.PostSend(send(r, 3, 10)))
		}, []string{sendOnly, sendSecond, sendOnly, sendSecond, "RC SEND Only 2 10 bytes ack!"}},
		{"AcceptGhostAcks", soft.Rules{AcceptGhostAcks: true}, func(t *testing.T, r *rig) {
			r.toClient(ack(1000))
			wantDone(t, r, 1, 2)
		}, []string{sendOnly, sendSecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRigOf(t, tt.rules, nil)
				r.b.Inject(soft.Fault{Name: "deaf", Stage: soft.Arrived, Drop: true, Match: toQueuePair})
				must(t, r.client.PostSend(send(r, 1, 10), send(r, 2, 10)))
				synctest.Wait()
				if tt.run != nil {
					tt.run(t, r)
				}
				wantSent(t, r, tt.want...)
			})
		})
	}
}

func TestUnlimitedRules(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules soft.Rules
		work  func(r *rig) rdma.SendWR
		count int
		over  int // packets of a conforming device
	}{
		{"IgnoreWindow", soft.Rules{IgnoreWindow: true}, func(r *rig) rdma.SendWR { return send(r, 1, 200*1024) }, 1, 128},
		{"IgnoreReadDepth", soft.Rules{IgnoreReadDepth: true}, func(r *rig) rdma.SendWR { return read(r, 1, 10) }, 10, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigOf(t, tt.rules, nil)
			r.b.Inject(soft.Fault{Stage: soft.Arrived, Drop: true, Match: toQueuePair})
			for range tt.count {
				must(t, r.client.PostSend(tt.work(r)))
			}
			if n := len(r.sent(addrA)); n <= tt.over {
				t.Errorf("%s: %d packets, must be more than %d", tt.name, n, tt.over)
			}
		})
	}
}

func TestSevenRetries(t *testing.T) {
	for _, infinite := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigOf(t, soft.Rules{UnlimitedSevenRetries: infinite}, nil)
			r.b.Inject(soft.Fault{Stage: soft.Arrived, Drop: true, Match: toQueuePair})
			must(t, r.client.PostSend(send(r, 1, 10)))
			time.Sleep(100 * roce.ACKTimeout(uint8(testConn.AckTimeout)))
			want := 8
			if infinite {
				want = 101
			}
			if n := len(r.sent(addrA)); n != want {
				t.Errorf("UnlimitedSevenRetries %t: %d transmissions, must be %d", infinite, n, want)
			}
		})
	}
}

func TestPadRule(t *testing.T) {
	for _, nonzero := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var pad []byte
			r := newRigOf(t, soft.Rules{NonzeroPad: nonzero}, nil)
			r.a.Inject(soft.Fault{Stage: soft.Sealed, Match: toQueuePair, Change: func(p *soft.Packet) {
				b := p.Payload()
				pad = slices.Clone(b[len(b)-7 : len(b)-4])
			}})
			must(t, r.client.PostSend(send(r, 1, 9)))
			must(t, one(t, r.client).Err())
			want := []byte{0, 0, 0}
			if nonzero {
				want = []byte{0xFF, 0xFF, 0xFF}
			}
			if !slices.Equal(pad, want) {
				t.Errorf("NonzeroPad %t: pad % x", nonzero, pad)
			}
		})
	}
}

func TestConnectionRules(t *testing.T) {
	hear := func(p *pair, a roce.AttributeID) (from, to *soft.Injection) { return see(p.a, a), see(p.b, a) }
	for _, tt := range []struct {
		name           string
		client, server soft.Rules
		run            func(t *testing.T, p *pair)
	}{
		{"NoDREQ", soft.Rules{NoDREQ: true}, soft.Rules{}, func(t *testing.T, p *pair) {
			asks, _ := hear(p, roce.AttrDREQ)
			closeAll(t, p.client)
			if asks.Hits() != 0 {
				t.Error("the peer was told")
			}
		}},
		{"NoDREP", soft.Rules{}, soft.Rules{NoDREP: true}, func(t *testing.T, p *pair) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := p.client.Disconnect(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("disconnect: %v", err)
			}
		}},
		{"IgnoreDREQQPN", soft.Rules{}, soft.Rules{IgnoreDREQQPN: true}, func(t *testing.T, p *pair) {
			p.a.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrDREQ), Change: func(p *soft.Packet) { p.Payload()[madDataAt+10]++ }})
			must(t, p.client.Disconnect(context.Background()))
		}},
		{"IgnoreUnknownDREQ", soft.Rules{}, soft.Rules{IgnoreUnknownDREQ: true}, func(t *testing.T, p *pair) {
			_, answers := hear(p, roce.AttrDREP)
			p.a.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrDREQ), Change: func(p *soft.Packet) { p.Payload()[madDataAt]++ }})
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = p.client.Disconnect(ctx)
			if answers.Hits() != 0 {
				t.Error("a DREQ for unknown ids was answered")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := connected(t, soft.Config{Rules: tt.client}, soft.Config{Rules: tt.server})
				<-p.server.Established()
				tt.run(t, p)
			})
		})
	}
}

func TestSetUpRules(t *testing.T) {
	for _, tt := range []struct {
		name           string
		client, server soft.Rules
		lose           func(p *pair)
		want           func(*pair, time.Duration) bool
	}{
		{"NoREPRetry", soft.Rules{}, soft.Rules{NoREPRetry: true}, func(p *pair) { lose(p.b, roce.AttrREP, 1) },
			func(_ *pair, d time.Duration) bool { return d == requestGap }}, // the repeated request makes another reply
		{"IgnoreDuplicateREP", soft.Rules{IgnoreDuplicateREP: true}, soft.Rules{}, func(p *pair) { lose(p.a, roce.AttrRTU, 1) },
			func(p *pair, d time.Duration) bool { return d == 16*replyGap && p.server.Err() != nil }},
		{"SwapStartingPSN", soft.Rules{SwapStartingPSN: true}, soft.Rules{}, func(*pair) {},
			func(p *pair, _ time.Duration) bool {
				_ = p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true})
				time.Sleep(time.Minute)
				return p.client.Err() != nil
			}},
		{"WaitForRTU", soft.Rules{NoRTU: true}, soft.Rules{WaitForRTU: true}, func(*pair) {},
			func(p *pair, _ time.Duration) bool {
				_ = p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true})
				time.Sleep(time.Minute)
				return p.client.Err() != nil
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, soft.Config{Rules: tt.client}, soft.Config{Rules: tt.server})
				tt.lose(p)
				start := time.Now()
				acceptAll(t, p, 0)
				c, err := dial(t, p)
				if err != nil {
					t.Fatal(err)
				}
				p.client = c
				synctest.Wait()
				select {
				case <-p.server.Established():
				case <-p.server.Lost():
				case <-time.After(200 * time.Second):
				}
				if !tt.want(p, time.Since(start)) {
					t.Errorf("after %v: client %v, server %v", time.Since(start), p.client.Err(), p.server.Err())
				}
			})
		})
	}
}

func TestNoTimeWaitRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{MaxConns: 1, Rules: soft.Rules{NoTimeWait: true}}, soft.Config{})
		acceptAll(t, p, 0)
		for range 3 {
			c, err := dial(t, p)
			must(t, err)
			must(t, c.Disconnect(context.Background()))
		}
	})
}

func TestIgnoreStaleRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{EditCM: func(m roce.CMMessage) {
			if m, ok := m.(*roce.CMReq); ok {
				m.LocalQPN = 0x4711
			}
		}}, soft.Config{Rules: soft.Rules{IgnoreStale: true}})
		acceptAll(t, p, 0)
		for range 2 {
			_, err := dial(t, p)
			must(t, err)
		}
	})
}

func TestIgnoreIPCMRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{Rules: soft.Rules{IgnoreIPCM: true}})
		acceptAll(t, p, 0)
		p.a.Inject(soft.Fault{Stage: soft.Made, Match: is(roce.AttrREQ), Change: func(p *soft.Packet) { p.Payload()[reqIPCMAt] = 0x10 }})
		_, err := dial(t, p)
		must(t, err)
	})
}

func TestIgnoreDuplicateREQRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, soft.Config{}, soft.Config{Rules: soft.Rules{IgnoreDuplicateREQ: true}})
		pleas := see(p.b, roce.AttrMRA)
		acceptAll(t, p, time.Minute)
		_, err := dial(t, p)
		must(t, err)
		if pleas.Hits() != 0 {
			t.Errorf("%d answers to repeated requests", pleas.Hits())
		}
	})
}

// A window's key works on the connection that it was bound on, unless the rule is off.
func TestWindowOwnerRule(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := connected(t, soft.Config{}, soft.Config{Rules: soft.Rules{IgnoreWindowOwner: ignore}})
			w, err := p.b.NewWindow()
			must(t, err)
			defer closeAll(t, w)
			must(t, p.server.PostSend(rdma.SendWR{
				Op: rdma.OpBind, Window: w, Bind: rdma.Bind{Region: p.memB, Length: 100, Access: rdma.RemoteWrite}, Signaled: true,
			}))
			must(t, one(t, p.server).Err())
			closeAll(t, p.listener)
			acceptAll(t, p, 0)
			other, err := dial(t, p)
			must(t, err)
			must(t, other.PostSend(rdma.SendWR{Op: rdma.OpWrite, Local: part(p.memA, 0, 4), RemoteAddr: p.memB.Addr(), RemoteKey: w.Key(), Signaled: true}))
			if ok := one(t, other).Status == rdma.StatusSuccess; ok != ignore {
				t.Errorf("IgnoreWindowOwner %t: the WRITE succeeds: %t", ignore, ok)
			}
		})
	}
}

// READ responses are taken in the order of their sequence numbers, unless the rule is off.
func TestReadOrderRule(t *testing.T) {
	for _, any := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigOf(t, soft.Rules{AcceptAnyReadOrder: any}, nil)
			r.b.Inject(soft.Fault{Stage: soft.Arrived, Drop: true, Match: toQueuePair})
			must(t, r.client.PostSend(read(r, 1, 2048)))
			r.toClient(response(roce.RCReadResponseFirst, 1, 1024, 1024))
			r.toClient(response(roce.RCReadResponseLast, 1, 0, 1024))
			want := []uint64(nil)
			if any {
				want = []uint64{1}
			}
			wantDone(t, r, want...)
		})
	}
}

// A responder serves no more READs at once than was negotiated, unless the rule is off.
func TestReadResourcesRule(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *soft.Config, _ *rdma.ConnConfig) { c.Rules.IgnoreReadResources = ignore })
			const packets = 500 // too many to be answered at once
			var all []*soft.Packet
			for i := range testConn.ResponderResources + 1 {
				x := thrown{op: roce.RCReadRequest, length: packets * 1024}
				psn := roce.PSN(psnA).Add(i * packets)
				all = append(all, r.build(x, addrA, addrB, r.server.QPN(), psn, r.memB.Addr(), r.memB.Key()))
			}
			must(t, r.thrower.Send(all))
			synctest.Wait()
			if lost := r.server.Err() != nil; lost == ignore {
				t.Errorf("IgnoreReadResources %t: the connection is lost: %t", ignore, lost)
			}
		})
	}
}
