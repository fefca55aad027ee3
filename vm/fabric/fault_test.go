// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// inject puts a fault on the rail, and prints it, seeds and all.
func (p *pair) inject(t *testing.T, f fabric.Fault) *fabric.Handle {
	t.Helper()
	h, err := p.rail.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(h)
	return h
}

// numbers sends frames "1" to "n" from a to b in one go.
func (p *pair) numbers(n int) {
	var frames [][]byte
	for i := range n {
		frames = append(frames, frame(p.b, p.a, fmt.Sprint(i+1)))
	}
	p.a.send(frames...)
}

// arrived ends with a frame that no fault matches and returns what came to b before it.
func (p *pair) arrived(t *testing.T) []string {
	t.Helper()
	p.b.send(frame(p.a, p.b, "turn")) // a answers when all that it sent has been offered
	p.a.expect("turn")
	c := plugIn(t, p.fabric, addPort(t, p.rail, "sentinel"), 99)
	c.send(frame(p.b, c, "end"))
	_ = p.b.conn.SetReadDeadline(time.Now().Add(patience))
	var texts []string
	for {
		data, err := p.b.receive()
		if err != nil {
			t.Fatal(err)
		}
		if string(data[14:]) == "end" {
			return texts
		}
		texts = append(texts, string(data[14:]))
	}
}

// settled returns when the rail has seen so many frames from alpha.
func (p *pair) settled(t *testing.T, frames uint64) {
	t.Helper()
	ctx := within(t, patience)
	for p.pa.Stats().FramesIn < frames || p.rail.Stats().Frames < frames {
		if ctx.Err() != nil {
			t.Fatalf("the rail has seen %d of %d frames", p.pa.Stats().FramesIn, frames)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPicksDrop(t *testing.T) {
	tests := map[string]struct {
		pick fabric.Pick
		want []string
	}{
		"all":        {nil, nil},
		"nth":        {fabric.Nth{3}, []string{"1", "2", "4", "5", "6"}},
		"nth, two":   {fabric.Nth{1, 6}, []string{"2", "3", "4", "5"}},
		"first":      {fabric.First(4), []string{"5", "6"}},
		"every":      {fabric.Every(2), []string{"1", "3", "5"}},
		"never":      {fabric.Chance{0, 1}, []string{"1", "2", "3", "4", "5", "6"}},
		"by chance":  {fabric.Chance{1, 1}, nil},
		"not so far": {fabric.Nth{7}, []string{"1", "2", "3", "4", "5", "6"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.FromPort("alpha"), Pick: test.pick})
			p.numbers(6)
			p.settled(t, 7)
			got := p.arrived(t)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what arrived differs (-want +got):\n%s", diff)
			}
			want := fabric.FaultStats{Matched: 6, Applied: uint64(6 - len(test.want))}
			if got := h.Stats(); got != want {
				t.Errorf("the counters are %+v, want %+v", got, want)
			}
			if got := p.rail.Stats().Dropped; got != want.Applied {
				t.Errorf("the rail counts %d dropped, want %d", got, want.Applied)
			}
		})
	}
}

func TestChanceRepeatsItself(t *testing.T) {
	run := func(seed uint64) []string {
		p := newPair(t)
		p.inject(t, fabric.Fault{
			Action: fabric.Drop{}, Match: fabric.FromPort("alpha"), Pick: fabric.Chance{Probability: 0.5, Seed: seed},
		})
		p.numbers(64)
		p.settled(t, 65)
		return p.arrived(t)
	}
	first := run(42)
	if len(first) < 16 || len(first) > 48 {
		t.Errorf("of 64 frames at one half, %d arrived", len(first))
	}
	if diff := cmp.Diff(first, run(42)); diff != "" {
		t.Errorf("the same seed gave another loss:\n%s", diff)
	}
	if slices.Equal(first, run(43)) {
		t.Error("another seed gave the same loss")
	}
}

func TestDropOneWay(t *testing.T) {
	p := newPair(t)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.ToPort("beta")})
	p.numbers(2)
	if err := h.WaitApplied(within(t, patience), 2); err != nil {
		t.Fatal(err)
	}
	p.b.send(frame(p.a, p.b, "the other way"))
	p.a.expect("the other way")
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	p.b.expectOnlyFrom(p.a)
}

// TestToPortOfABroadcast loses the copy to one station and no other.
func TestToPortOfABroadcast(t *testing.T) {
	p := newPair(t)
	c := plugIn(t, p.fabric, addPort(t, p.rail, "gamma"), 3)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.ToPort("beta"), Pick: fabric.First(1)})
	p.a.send(frameTo(broadcast, p.a.mac, "to all"))
	c.expect("to all")
	if err := h.WaitApplied(within(t, patience), 1); err != nil {
		t.Fatal(err)
	}
	p.b.expectOnlyFrom(p.a)
}

func TestDuplicate(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{Action: fabric.Duplicate{Copies: 2}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{2}})
	p.numbers(3)
	p.b.expect("1", "2", "2", "2", "3")
}

func TestReorder(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{
		Action: fabric.Reorder{Behind: 2, Hold: time.Hour}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{2},
	})
	p.numbers(5)
	p.b.expect("1", "3", "4", "2", "5")
}

func TestReorderLetsGoWhereNothingFollows(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{Action: fabric.Reorder{Behind: 1, Hold: 20 * time.Millisecond}, Pick: fabric.Nth{1}})
	p.numbers(1)
	p.b.expect("1")
}

func TestDelay(t *testing.T) {
	p := newPair(t)
	const delay = 50 * time.Millisecond
	p.inject(t, fabric.Fault{Action: fabric.Delay{Base: delay}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{1}})
	begin := time.Now()
	p.numbers(3)
	p.b.expect("2", "3", "1")
	if took := time.Since(begin); took < delay {
		t.Errorf("it took %v, and the delay is %v", took, delay)
	}
}

func TestDelayInOrderKeepsTheOrder(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{
		Action: fabric.Delay{Base: time.Millisecond, Jitter: 20 * time.Millisecond, Seed: 1, InOrder: true},
		Match:  fabric.FromPort("alpha"),
	})
	p.numbers(20)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i+1))
	}
	p.b.expect(want...)
}

func TestJitterReorders(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{Action: fabric.Delay{Jitter: 50 * time.Millisecond, Seed: 1}, Match: fabric.FromPort("alpha")})
	p.numbers(20)
	_ = p.b.conn.SetReadDeadline(time.Now().Add(patience))
	var got []string
	for range 20 {
		data, err := p.b.receive()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(data[14:]))
	}
	byLength := func(a, b string) int { return 2*(len(a)-len(b)) + strings.Compare(a, b) }
	if slices.IsSortedFunc(got, byLength) {
		t.Errorf("twenty frames with jitter came in order: %v", got)
	}
}

func TestRemoveReleasesInOrder(t *testing.T) {
	p := newPair(t)
	h := p.inject(t, fabric.Fault{Action: fabric.Delay{Base: time.Hour}, Match: fabric.FromPort("alpha")})
	p.numbers(3)
	if err := h.WaitApplied(within(t, patience), 3); err != nil {
		t.Fatal(err)
	}
	if got := p.rail.Stats().Held; got != 3 {
		t.Errorf("%d frames are held, want 3", got)
	}
	if err := p.fabric.Reset(); err != nil {
		t.Fatal(err)
	}
	p.b.expect("1", "2", "3")
	if held, faults := p.rail.Stats().Held, p.rail.Faults(); held != 0 || len(faults) != 0 {
		t.Errorf("after a reset %d frames are held, and the faults are %v", held, faults)
	}
}

func TestCorrupt(t *testing.T) {
	payload := []byte("ten bytes!")
	tests := map[string]struct {
		action  fabric.Corrupt
		payload string
		icrc    roce.ICRCVerdict
	}{
		"payload":            {fabric.Corrupt{Region: fabric.InPayload}, "uen bytes!", roce.ICRCBad},
		"payload's end":      {fabric.Corrupt{Region: fabric.InPayload, Offset: -1, Bit: 1}, "ten bytes#", roce.ICRCBad},
		"payload, resealed":  {fabric.Corrupt{Region: fabric.InPayload, FixICRC: true}, "uen bytes!", roce.ICRCGood},
		"PSN, resealed":      {fabric.Corrupt{Region: fabric.InTransport, Offset: 11, FixICRC: true}, "ten bytes!", roce.ICRCGood},
		"icrc":               {fabric.Corrupt{Offset: -1}, "ten bytes!", roce.ICRCBad},
		"source address":     {fabric.Corrupt{Offset: 11}, "ten bytes!", roce.ICRCGood},
		"not there":          {fabric.Corrupt{Region: fabric.InPayload, Offset: 10}, "ten bytes!", roce.ICRCGood},
		"not there, behind":  {fabric.Corrupt{Region: fabric.InPayload, Offset: -11}, "ten bytes!", roce.ICRCGood},
		"sealed as it comes": {fabric.Corrupt{Region: fabric.InTransport, Offset: 3, FixICRC: true}, "ten bytes!", roce.ICRCGood},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			h := p.inject(t, fabric.Fault{Action: test.action, Match: fabric.IsRoCE()})
			sent := packet(t, p.b.mac, p.a.mac, 5, 0xAB, payload)
			p.a.send(sent)
			_ = p.b.conn.SetReadDeadline(time.Now().Add(patience))
			got, err := p.b.receive()
			if err != nil {
				t.Fatal(err)
			}
			const extensions = 20 // RETH and immediate
			begin := 42 + roce.BTHLen + extensions
			if text := string(got[begin : begin+len(payload)]); text != test.payload {
				t.Errorf("the payload is %q, want %q", text, test.payload)
			}
			if verdict := checkICRC(got); verdict != test.icrc {
				t.Errorf("the ICRC is %v, want %v", verdict, test.icrc)
			}
			if checksum := got[40:42]; test.action.FixICRC && (checksum[0] != 0 || checksum[1] != 0) {
				t.Errorf("the UDP checksum is %x, and would have the receiver drop the packet", checksum)
			}
			there := !strings.HasPrefix(name, "not there")
			if changed := !bytes.Equal(sent, got); changed != there || h.Stats().Applied != map[bool]uint64{true: 1}[there] {
				t.Errorf("changed is %v, the counters are %+v", changed, h.Stats())
			}
		})
	}
}

// TestAlter changes the payload of one packet of two, and leaves the other as it was sent.
func TestAlter(t *testing.T) {
	p := newPair(t)
	h := p.inject(t, fabric.Fault{
		Action: fabric.Alter{What: "say bye", Change: func(frame []byte) bool {
			at := bytes.Index(frame, []byte("hi!"))
			return at >= 0 && copy(frame[at:], "bye") > 0
		}},
		Match: fabric.IsRoCE(),
	})
	for _, c := range []struct{ sent, want string }{{"hi!", "bye"}, {"ho!", "ho!"}} {
		sent := packet(t, p.b.mac, p.a.mac, 5, 0xAB, []byte(c.sent))
		before := bytes.Clone(sent)
		p.a.send(sent)
		_ = p.b.conn.SetReadDeadline(time.Now().Add(patience))
		got, err := p.b.receive()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(got, []byte(c.want)) || checkICRC(got) != roce.ICRCGood {
			t.Errorf("%q arrived as % x, ICRC %v; want %q", c.sent, got, checkICRC(got), c.want)
		}
		if !bytes.Equal(sent, before) {
			t.Errorf("%q was altered where its sender has it", c.sent)
		}
	}
	if applied := h.Stats().Applied; applied != 1 {
		t.Errorf("applied %d times, must be 1", applied)
	}
	for _, bad := range []fabric.Alter{{What: "nothing"}, {Change: func([]byte) bool { return false }}} {
		if _, err := p.rail.Inject(fabric.Fault{Action: bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestSequenceDoesAll(t *testing.T) {
	p := newPair(t)
	p.inject(t, fabric.Fault{
		Action: fabric.Sequence{fabric.Corrupt{Offset: 14}, fabric.Duplicate{Copies: 1}, fabric.Delay{Base: time.Millisecond}},
		Match:  fabric.FromPort("alpha"), Pick: fabric.Nth{1},
	})
	p.a.send(frame(p.b, p.a, "a"))
	p.b.expect("`", "`")
}

func TestFaultsActInOrder(t *testing.T) {
	p := newPair(t)
	first := p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{1}})
	second := p.inject(t, fabric.Fault{Action: fabric.Duplicate{Copies: 1}, Match: fabric.FromPort("alpha"), Pick: fabric.Nth{1}})
	p.numbers(2) // the first is dropped, so the second fault first meets "2"
	p.b.expect("2", "2")
	if first.Stats().Matched != 2 || second.Stats().Matched != 1 {
		t.Errorf("matched %d and %d", first.Stats().Matched, second.Stats().Matched)
	}
}

func TestTimedFault(t *testing.T) {
	p := newPair(t)
	_, since := p.fabric.Events(0)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, After: 10 * time.Millisecond, For: 30 * time.Millisecond})
	waitEvent(t, p.fabric, since, fabric.Began, "")
	select {
	case <-h.Done():
	case <-within(t, patience).Done():
		t.Fatal("it does not end")
	}
	p.numbers(1)
	p.b.expect("1")
	events, _ := p.fabric.Events(since)
	at := map[fabric.EventKind]time.Time{}
	for _, e := range events {
		at[e.Kind] = e.At
	}
	if d := at[fabric.Began].Sub(at[fabric.Injected]); d < 10*time.Millisecond {
		t.Errorf("it began after %v", d)
	}
	if d := at[fabric.Ended].Sub(at[fabric.Began]); d < 30*time.Millisecond {
		t.Errorf("it lasted %v", d)
	}
	if h.Active() {
		t.Error("it acts after its end")
	}
}

func TestPendingFaultCanBeRemoved(t *testing.T) {
	p := newPair(t)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, After: time.Hour})
	if h.Active() || len(p.rail.Faults()) != 1 {
		t.Errorf("active %v, faults %v", h.Active(), p.rail.Faults())
	}
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := h.WaitApplied(t.Context(), 1); err == nil {
		t.Error("the wait for a fault that is over did not fail")
	}
}

func TestWaitAppliedEndsWithItsContext(t *testing.T) {
	p := newPair(t)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.WaitApplied(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestEventsNameTheFrame(t *testing.T) {
	p := newPair(t)
	_, since := p.fabric.Events(0)
	h := p.inject(t, fabric.Fault{Action: fabric.Drop{}, Match: fabric.IsRoCE()})
	p.a.send(packet(t, p.b.mac, p.a.mac, 77, 0xAB, nil))
	if err := h.WaitApplied(within(t, patience), 1); err != nil {
		t.Fatal(err)
	}
	e := waitEvent(t, p.fabric, since, fabric.Applied, "alpha>beta")
	if e.Fault != h.ID() || e.Frame != 3 || !strings.Contains(e.Detail, "psn 77 imm 0x000000ab") {
		t.Errorf("the event is %v", e)
	}
}

func TestBadFaultsAreRefused(t *testing.T) {
	tests := map[string]fabric.Fault{
		"no action":      {},
		"probability":    {Action: fabric.Drop{}, Pick: fabric.Chance{Probability: 1.5}},
		"nth 0":          {Action: fabric.Drop{}, Pick: fabric.Nth{0}},
		"nth none":       {Action: fabric.Drop{}, Pick: fabric.Nth{}},
		"every 0":        {Action: fabric.Drop{}, Pick: fabric.Every(0)},
		"first 0":        {Action: fabric.Drop{}, Pick: fabric.First(0)},
		"no copies":      {Action: fabric.Duplicate{}},
		"no delay":       {Action: fabric.Delay{}},
		"negative delay": {Action: fabric.Delay{Base: -1}},
		"behind nothing": {Action: fabric.Reorder{}},
		"bit 8":          {Action: fabric.Corrupt{Bit: 8}},
		"region":         {Action: fabric.Corrupt{Region: "tail"}},
		"empty sequence": {Action: fabric.Sequence{}},
		"nil in it":      {Action: fabric.Sequence{nil}},
		"carrier in it":  {Action: fabric.Sequence{fabric.CarrierLoss{}}},
		"time":           {Action: fabric.Drop{}, For: -1},
		"carrier frames": {Action: fabric.CarrierLoss{}, Pick: fabric.Nth{1}},
		"no carrier":     {Action: fabric.CarrierLoss{Ports: []string{"alpha"}}},
	}
	p := newPair(t)
	for name, f := range tests {
		if h, err := p.rail.Inject(f); err == nil {
			t.Errorf("%s: no error for %v", name, h)
		}
	}
	if left := p.rail.Faults(); len(left) > 0 {
		t.Errorf("refused faults are on the rail: %v", left)
	}
}

func TestFaultsPrint(t *testing.T) {
	f := fabric.Fault{
		Action: fabric.Sequence{fabric.Corrupt{Region: fabric.InPayload, Offset: 4, FixICRC: true}, fabric.Delay{Base: time.Second}},
		Match:  fabric.And(fabric.FromPort("alpha"), fabric.Not(fabric.Opcode(roce.RCAcknowledge))),
		Pick:   fabric.Chance{Probability: 0.25, Seed: 9},
		After:  time.Second, For: 2 * time.Second,
	}
	const text = "corrupt payload byte 4 bit 0 with a right icrc then delay 1s (from alpha and not RC Acknowledge), " +
		"chance 0.25 seed 9, after 1s, for 2s"
	if got := f.String(); got != text {
		t.Errorf("the fault prints as\n%s\nwant\n%s", got, text)
	}
	data, err := json.Marshal([]fabric.Fault{f, {Action: fabric.Drop{}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"action":"corrupt payload byte 4 bit 0 with a right icrc then delay 1s",` +
		`"match":"(from alpha and not RC Acknowledge)","pick":"chance 0.25 seed 9","after_s":1,"for_s":2},` +
		`{"action":"drop","match":null,"pick":null,"after_s":0,"for_s":0}]`
	if got := string(data); got != want {
		t.Errorf("the JSON is\n%s\nwant\n%s", got, want)
	}
}
