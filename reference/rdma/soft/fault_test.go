// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// isSend matches SENDs.
func isSend(p *soft.Packet) bool { return p.OpCode() == roce.RCSendOnly }

// Which packets a fault hits: ten SENDs are sent, and the sequence numbers of those that are hit are written down.
func TestFaultPicks(t *testing.T) {
	for _, tt := range []struct {
		fault soft.Fault
		want  []int
	}{
		{soft.Fault{}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{soft.Fault{Skip: 7}, []int{7, 8, 9}},
		{soft.Fault{Count: 2}, []int{0, 1}},
		{soft.Fault{Every: 4}, []int{3, 7}},
		{soft.Fault{Skip: 1, Every: 2, Count: 3}, []int{2, 4, 6}},
		{soft.Fault{Match: func(p *soft.Packet) bool { return isSend(p) && p.PSN().Sub(psnA) == 5 }}, []int{5}},
	} {
		t.Run(fmt.Sprintf("%+v", tt.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, hits(t, tt.fault)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// hits sends ten SENDs and gives which are hit.
func hits(t *testing.T, fault soft.Fault) (hit []int) {
	r := newRig(t, nil)
	if fault.Match == nil {
		fault.Match = isSend
	}
	fault.Change = func(p *soft.Packet) { hit = append(hit, p.PSN().Sub(psnA)) }
	h := r.a.Inject(fault)
	for range 10 {
		must(t, r.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true}))
		must(t, one(t, r.client).Err())
	}
	if h.Hits() != uint64(len(hit)) {
		t.Errorf("%d hits counted, %d packets changed", h.Hits(), len(hit))
	}
	return hit
}

// Equal seeds choose equally, others differently.
func TestFaultSeed(t *testing.T) {
	choose := func(seed uint64) (hit []int) {
		synctest.Test(t, func(t *testing.T) { hit = hits(t, soft.Fault{Chance: 0.5, Seed: seed}) })
		return hit
	}
	if diff := cmp.Diff(choose(1), choose(1)); diff != "" {
		t.Errorf("the same seed chooses differently: %s", diff)
	}
	if cmp.Equal(choose(1), choose(2)) && cmp.Equal(choose(2), choose(3)) {
		t.Error("three seeds choose equally")
	}
}

// What happens to a packet that is hit, at each stage: the second of three SENDs. What the server gets is written down with
// the time.
func TestFaultEffects(t *testing.T) {
	for _, stage := range []soft.Stage{soft.Made, soft.Sealed, soft.Arrived, soft.Checked} {
		for _, tt := range []struct {
			name  string
			fault soft.Fault
			want  string
		}{
			{"loss", soft.Fault{Drop: true}, "0@0s 2@0s"},
			{"copies", soft.Fault{Copies: 2}, "0@0s 1@0s 1@0s 1@0s 2@0s"},
			{"copies without the packet", soft.Fault{Copies: 1, Drop: true}, "0@0s 1@0s 2@0s"},
			{"delay", soft.Fault{Delay: time.Millisecond}, "0@0s 2@0s 1@1ms"},
			{"overtaken", soft.Fault{Behind: 1}, "0@0s 2@0s 1@0s"},
		} {
			t.Run(stage.String()+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var got []string
					start := time.Now()
					watch := func(rec soft.Record) {
						if rec.Direction == soft.Inbound && rec.Fault == "" && isSend(rec.Packet) {
							got = append(got, fmt.Sprintf("%d@%s", rec.Packet.PSN().Sub(psnA), time.Since(start)))
						}
					}
					r := newRigOf(t, soft.Rules{NoTimeout: true, IgnoreSequenceNAK: true}, func(c *soft.Config, _ *rdma.ConnConfig) { c.Trace = watch })
					tt.fault.Name, tt.fault.Stage, tt.fault.Skip, tt.fault.Count, tt.fault.Match = tt.name, stage, 1, 1, isSend
					victim := r.a
					if stage >= soft.Arrived {
						victim = r.b
					}
					victim.Inject(tt.fault)
					for i := range 3 {
						must(t, r.client.PostSend(send(r, uint64(i), 10)))
					}
					time.Sleep(time.Second)
					synctest.Wait()
					if s := strings.Join(got, " "); s != tt.want {
						t.Errorf("the server got %q, must get %q", s, tt.want)
					}
				})
			})
		}
	}
}

// A change before the ICRC is computed is taken for true, a change afterwards is noticed.
func TestFaultCorruption(t *testing.T) {
	for _, tt := range []struct {
		stage soft.Stage
		bad   uint64
		first byte
	}{
		{soft.Made, 0, 'X'},
		{soft.Sealed, 1, 'a'}, // the packet comes again, unchanged
		{soft.Arrived, 1, 'a'},
		{soft.Checked, 0, 'X'},
	} {
		t.Run(tt.stage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := connected(t, soft.Config{}, soft.Config{})
				victim := p.a
				if tt.stage >= soft.Arrived {
					victim = p.b
				}
				victim.Inject(soft.Fault{Stage: tt.stage, Match: isSend, Count: 1, Change: func(p *soft.Packet) { p.Data()[0] = 'X' }})
				p.memA.Bytes()[0] = 'a'
				must(t, p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: part(p.memA, 0, 8), Signaled: true}))
				must(t, one(t, p.client).Err())
				if got := p.memB.Bytes()[testMemory/2]; got != tt.first {
					t.Errorf("received %q, must be %q", got, tt.first)
				}
				if got := p.b.Stats().BadICRC; got != tt.bad {
					t.Errorf("%d packets with a wrong ICRC, must be %d", got, tt.bad)
				}
			})
		})
	}
}

// Removing a fault lets go what it holds.
func TestFaultRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connected(t, soft.Config{Rules: soft.Rules{NoTimeout: true}}, soft.Config{})
		h := p.a.Inject(soft.Fault{Stage: soft.Sealed, Match: isSend, Behind: 1000})
		must(t, p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true}))
		time.Sleep(time.Minute)
		h.Remove()
		must(t, one(t, p.client).Err())
	})
}

// Every packet is in the trace, with its verdict and the fault that hit it.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := soft.NewRecorder(8)
		p := connected(t, soft.Config{}, soft.Config{Trace: recorder.Trace})
		<-p.server.Established()
		p.b.Inject(soft.Fault{Name: "bad day", Stage: soft.Arrived, Match: isSend, Count: 1, Drop: true})
		must(t, p.client.PostSend(rdma.SendWR{Op: rdma.OpSend, Signaled: true}))
		must(t, one(t, p.client).Err())
		var got []string
		for _, line := range recorder.Lines() {
			verdict, _, _ := strings.Cut(strings.Join(strings.Fields(line)[1:], " "), " psn")
			if _, fault, ok := strings.Cut(line, "by fault "); ok {
				verdict += ", " + fault
			}
			got = append(got, verdict)
		}
		want := []string{
			"in received: UD SEND Only", "out sent: UD SEND Only", "in received: UD SEND Only",
			"in lost: RC SEND Only, bad day", "in received: RC SEND Only", "out sent: RC Acknowledge",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A recorder keeps the last records.
func TestRecorderForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := soft.NewRecorder(3)
		connected(t, soft.Config{Trace: recorder.Trace}, soft.Config{Trace: recorder.Trace})
		synctest.Wait()
		lines := recorder.Lines()
		if len(lines) != 3 || !strings.Contains(lines[2], "in  received") {
			t.Errorf("last records: %q", lines)
		}
	})
}

func TestConfigRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		mtu int
		cfg soft.Config
	}{
		"a path MTU that does not exist":         {0, soft.Config{PathMTU: 1000}},
		"a path MTU too large for the link":      {1500, soft.Config{PathMTU: 2048}},
		"a link that is too small":               {300, soft.Config{}},
		"a negative window":                      {0, soft.Config{Window: -1}},
		"a window of half the sequence numbers":  {0, soft.Config{Window: 1 << 23}},
		"credit code 32":                         {0, soft.Config{Credits: 32}},
		"more retries than the field can say":    {0, soft.Config{CMRetries: 16}},
		"a timeout code that cannot be said":     {0, soft.Config{CMTimeout: 32}},
		"an ACK timeout code that cannot be set": {0, soft.Config{ACKTimeout: 32}},
	} {
		link, err := soft.NewHub().Attach(addrA, tt.mtu)
		must(t, err)
		if d, err := soft.Open(link, tt.cfg); err == nil {
			closeAll(t, d)
			t.Errorf("%s: no error", name)
		}
	}
}
