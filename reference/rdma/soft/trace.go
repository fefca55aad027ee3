// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Direction is the way of a packet.
type Direction uint8

// The directions.
const (
	Outbound Direction = iota
	Inbound
)

// String gives "out" or "in".
func (d Direction) String() string {
	if d == Inbound {
		return "in"
	}
	return "out"
}

// Tracer is told of every packet. It is called while packets wait, from several goroutines, and must not keep the packet
// of the record.
type Tracer func(Record)

// Record is what happened to one packet.
type Record struct {
	At        time.Time
	Direction Direction
	Packet    *Packet
	Verdict   string // "sent", "received", or why it was dropped or changed
	Fault     string // name of the fault that did it, if one did
}

// String gives the record as one line.
func (r Record) String() string {
	p := r.Packet
	s := fmt.Sprintf("%s %-3s %s: %s psn %#06x to queue pair %#x", r.At.Format("15:04:05.000000"), r.Direction, r.Verdict, p.OpCode(), p.PSN(), p.DestQP())
	if p.wellFormed() && p.OpCode().Ext().Has(roce.ExtAETH) {
		s += fmt.Sprintf(", %s", roce.Syndrome(p.Ext()[0]))
	}
	if n := len(p.Data()); n > 0 {
		s += fmt.Sprintf(", %d bytes", n)
	}
	if p.AckReq() {
		s += ", asks for an acknowledgement"
	}
	if r.Fault != "" {
		s += ", by fault " + r.Fault
	}
	return s
}

// Recorder keeps the last records as text. Its method Trace is a Tracer; it may serve several devices.
type Recorder struct {
	mu    sync.Mutex
	lines []string
	next  int
}

// NewRecorder makes a recorder of the last size records.
func NewRecorder(size int) *Recorder { return &Recorder{lines: make([]string, size)} }

// Trace takes a record.
func (r *Recorder) Trace(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[r.next%len(r.lines)] = rec.String()
	r.next++
}

// Lines gives the records, the oldest first.
func (r *Recorder) Lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := len(r.lines)
	if r.next <= size {
		return slices.Clone(r.lines[:r.next])
	}
	at := r.next % size
	return append(slices.Clone(r.lines[at:]), r.lines[:at]...)
}

// dropReason is why a received packet has no effect; delivered if it has one.
type dropReason string

const (
	delivered     dropReason = "received"
	dropMalformed dropReason = "malformed"
	dropICRC      dropReason = "wrong ICRC"
	dropVersion   dropReason = "unknown transport version"
	dropPKey      dropReason = "wrong partition key"
	dropNoQP      dropReason = "no such queue pair"
	dropNotReady  dropReason = "queue pair not ready"
	dropError     dropReason = "queue pair in error"
	dropOpCode    dropReason = "opcode not for this queue pair"
	dropPeer      dropReason = "not from the peer's address"
	dropDst       dropReason = "not to this device's address"
	dropGhost     dropReason = "answer to what was never sent"
	dropStale     dropReason = "answer that came before"
	dropGap       dropReason = "out of sequence"
	dropLength    dropReason = "wrong length"
	dropDuplicate dropReason = "executed before"
	dropNoReceive dropReason = "no receive posted"
	dropRefused   dropReason = "refused"
	dropCNP       dropReason = "congestion notification"
	dropCM        dropReason = "management datagram of no use"
)

func (d *Device) trace(dir Direction, p *Packet, verdict, fault string) {
	if d.cfg.Trace != nil {
		d.cfg.Trace(Record{At: time.Now(), Direction: dir, Packet: p, Verdict: verdict, Fault: fault})
	}
}
