// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Stage is a point on the way of a packet where a fault can be put.
type Stage uint8

// The stages.
const (
	Made    Stage = iota // outbound, before the ICRC is computed: a changed packet is well-formed for the receiver
	Sealed               // outbound, with its ICRC: a changed packet has a transmission error
	Arrived              // inbound, before the ICRC is checked
	Checked              // inbound, after it, before the packet has any effect
)

// String names the stage.
func (s Stage) String() string {
	return [...]string{"made", "sealed", "arrived", "checked"}[s&3]
}

func (s Stage) direction() Direction {
	if s >= Arrived {
		return Inbound
	}
	return Outbound
}

// Fault says what happens to which packets of a device. Which: those at a stage that match, of these, after the first
// Skip, every Every-th, or some by chance, and no more than Count. What: all that is set, in the order of the fields.
type Fault struct {
	Name  string             // for the trace
	Stage Stage              // where
	Match func(*Packet) bool // nil matches every packet; it must not keep the packet

	Skip   int     // so many matching packets pass first
	Every  int     // then every n-th is hit; 0 and 1 mean each
	Count  int     // after so many hits the fault does nothing more; 0 is no limit
	Chance float64 // if above 0, a packet that would be hit is hit with this probability
	Seed   uint64  // of the chance; equal seeds give equal choices

	Change func(*Packet) // changes the packet in place; looking only is fine too
	Copies int           // as many copies follow the packet
	Drop   bool          // the packet itself is lost (its copies are not)
	Delay  time.Duration // the packet goes on after this time
	Behind int           // the packet goes on after so many others have passed this stage
}

// Injection is a fault at work.
type Injection struct {
	faults *faults
	fault  Fault
	rand   *rand.Rand

	hits atomic.Uint64
	seen int    // matching packets; guarded by faults.mu, as is held
	held []held // packets that wait for others to pass
}

// held is a packet that goes on when so many others have passed.
type held struct {
	packet *Packet
	others int
}

// Hits is how many packets were hit.
func (h *Injection) Hits() uint64 { return h.hits.Load() }

// Remove ends the fault. Packets that it holds for others to pass go on at once; delayed ones go on in their time.
func (h *Injection) Remove() { h.faults.remove(h) }

// Inject puts a fault on the device.
func (d *Device) Inject(fault Fault) *Injection {
	h := &Injection{faults: &d.fault, fault: fault, rand: newRand(fault.Seed + 1)}
	d.fault.add(h)
	return h
}

// faults are all faults of a device.
type faults struct {
	dev *Device

	mu     sync.Mutex
	list   atomic.Pointer[[]*Injection] // copied on change
	timers map[*time.Timer]struct{}     // of delayed packets; nil after close
}

func (f *faults) init(d *Device) {
	f.dev = d
	f.list.Store(&[]*Injection{})
	f.timers = make(map[*time.Timer]struct{})
}

func (f *faults) active() bool { return len(*f.list.Load()) > 0 }

func (f *faults) add(h *Injection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append(slices.Clone(*f.list.Load()), h)
	f.list.Store(&list)
}

func (f *faults) remove(h *Injection) {
	f.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(*f.list.Load()), func(o *Injection) bool { return o == h })
	f.list.Store(&list)
	waiting := h.held
	h.held = nil
	f.mu.Unlock()
	for _, w := range waiting {
		f.goOn(h.fault.Stage, w.packet)
	}
}

// close throws away what is delayed or held.
func (f *faults) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t := range f.timers {
		t.Stop()
	}
	f.timers = nil
	f.list.Store(&[]*Injection{})
}

// outbound takes packets from the state machines to the link.
func (f *faults) outbound(packets []*Packet) {
	var ready []*Packet
	for _, p := range packets {
		for _, made := range f.apply(Made, p) {
			f.dev.seal(made)
			ready = append(ready, f.apply(Sealed, made)...)
		}
	}
	f.transmit(ready)
}

func (f *faults) transmit(packets []*Packet) {
	for _, p := range packets {
		f.dev.trace(Outbound, p, "sent", "")
	}
	f.dev.put(packets)
}

// inbound takes a packet from the link to its state machine.
func (f *faults) inbound(p *Packet, touched []*queuePair) []*queuePair {
	if !f.active() {
		return f.dev.deliver(p, touched)
	}
	for _, arrived := range f.apply(Arrived, p) {
		touched = f.dev.deliver(arrived, touched)
	}
	return touched
}

// goOn takes a packet that was held back at a stage on from there.
func (f *faults) goOn(stage Stage, p *Packet) {
	switch stage {
	case Made:
		f.dev.seal(p)
		f.transmit(f.apply(Sealed, p))
	case Sealed:
		f.transmit([]*Packet{p})
	case Arrived:
		f.dev.serveAll(f.dev.deliver(p, nil))
	case Checked:
		f.dev.serveAll(f.dev.consume(p, nil))
	}
}

// apply runs all faults of a stage on a packet and gives what goes on now, in order.
func (f *faults) apply(stage Stage, p *Packet) []*Packet {
	now := []*Packet{p}
	for _, h := range *f.list.Load() {
		if h.fault.Stage != stage {
			continue
		}
		var next []*Packet
		for _, p := range now {
			next = append(next, f.hit(h, p)...)
		}
		now = next
	}
	return now
}

// hit runs one fault on one packet.
func (f *faults) hit(h *Injection, p *Packet) (now []*Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now = h.release()
	if !h.chosen(p) {
		return append([]*Packet{p}, now...)
	}
	h.hits.Add(1)
	return append(f.do(h, p), now...)
}

// release gives the held packets that enough others have passed with the one that comes now.
func (h *Injection) release() (free []*Packet) {
	h.held = slices.DeleteFunc(h.held, func(w held) bool { return w.packet == nil })
	for i := range h.held {
		w := &h.held[i]
		if w.others--; w.others == 0 {
			free = append(free, w.packet)
			w.packet = nil
		}
	}
	return free
}

// chosen tells whether the packet is hit.
func (h *Injection) chosen(p *Packet) bool {
	s := &h.fault
	if s.Match != nil && !s.Match(p) || s.Count > 0 && h.hits.Load() >= uint64(s.Count) {
		return false
	}
	h.seen++
	if h.seen <= s.Skip || s.Every > 1 && (h.seen-s.Skip)%s.Every != 0 {
		return false
	}
	return s.Chance <= 0 || h.rand.Float64() < s.Chance
}

// do does what the fault says to a packet and gives what goes on now.
func (f *faults) do(h *Injection, p *Packet) (now []*Packet) {
	s := &h.fault
	if s.Change != nil {
		s.Change(p)
		f.dev.trace(s.Stage.direction(), p, "changed", s.Name)
	}
	for range s.Copies {
		now = append(now, p.Clone())
		f.dev.trace(s.Stage.direction(), p, "copied", s.Name)
	}
	switch {
	case s.Drop:
		f.dev.trace(s.Stage.direction(), p, "lost", s.Name)
		p.Release()
	case s.Delay > 0:
		f.dev.trace(s.Stage.direction(), p, "delayed", s.Name)
		f.delay(s.Stage, p, s.Delay)
	case s.Behind > 0:
		f.dev.trace(s.Stage.direction(), p, "held back", s.Name)
		h.held = append(h.held, held{p, s.Behind})
	default:
		now = append([]*Packet{p}, now...)
	}
	return now
}

// delay lets a packet go on later. The caller holds mu.
func (f *faults) delay(stage Stage, p *Packet, wait time.Duration) {
	if f.timers == nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(wait, func() {
		f.mu.Lock()
		_, pending := f.timers[t]
		delete(f.timers, t)
		f.mu.Unlock()
		if pending {
			f.goOn(stage, p)
		}
	})
	f.timers[t] = struct{}{}
}
