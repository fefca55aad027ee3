// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"encoding/binary"
	"slices"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// serveEvery is after how many received packets the queue pairs are served, also when more packets wait.
const serveEvery = 64

// read receives until the link is closed. If that was not the device's doing, its connections are lost.
func (d *Device) read() {
	var touched []*queuePair
	for {
		packets, err := d.link.Receive()
		if err != nil {
			if !d.isClosed() {
				d.cm.linkLost()
			}
			return
		}
		for i, p := range packets {
			touched = d.fault.inbound(p, touched)
			if i%serveEvery == serveEvery-1 {
				touched = d.serveAll(touched)
			}
		}
		touched = d.serveAll(touched)
	}
}

// deliver checks a packet and hands it on. It adds the queue pair that must be served afterwards to touched.
func (d *Device) deliver(p *Packet, touched []*queuePair) []*queuePair {
	d.stats.received.Add(1)
	if reason := d.checkPacket(p); reason != delivered {
		d.drop(p, reason)
		return touched
	}
	if !d.fault.active() {
		return d.consume(p, touched)
	}
	for _, checked := range d.fault.apply(Checked, p) {
		touched = d.consume(checked, touched)
	}
	return touched
}

// consume runs the state machine that a packet is for, and releases the packet.
func (d *Device) consume(p *Packet, touched []*queuePair) []*queuePair {
	q, reason := d.dispatch(p)
	if reason != delivered {
		d.drop(p, reason)
	} else {
		d.trace(Inbound, p, string(reason), "")
		p.Release()
	}
	if q == nil || slices.Contains(touched, q) {
		return touched
	}
	return append(touched, q)
}

// drop counts and releases a packet that had no effect.
func (d *Device) drop(p *Packet, reason dropReason) {
	d.countDrop(reason)
	d.trace(Inbound, p, string(reason), "")
	p.Release()
}

func (d *Device) countDrop(reason dropReason) {
	d.stats.dropped.Add(1)
	switch reason {
	case dropICRC:
		d.stats.badICRC.Add(1)
	case dropCNP:
		d.stats.cnps.Add(1)
	case dropDuplicate:
		d.stats.duplicates.Add(1)
	}
}

// dispatch finds the state machine that a packet is for, and runs it.
func (d *Device) dispatch(p *Packet) (*queuePair, dropReason) {
	qpn := p.DestQP()
	if qpn == roce.GSIQPN {
		return nil, d.cm.receive(p)
	}
	q := d.qp(qpn)
	if q == nil {
		return nil, dropNoQP
	}
	if p.OpCode() == roce.CNP {
		return nil, dropCNP
	}
	q.mu.Lock()
	first := !q.heard
	reason := q.receive(p)
	first = first && q.heard
	q.mu.Unlock()
	if first {
		d.cm.heard(q)
	}
	return q, reason
}

// checkPacket makes the checks that need no connection.
func (d *Device) checkPacket(p *Packet) dropReason {
	rules := &d.cfg.Rules
	switch {
	case !p.wellFormed() || !p.OpCode().Known():
		return dropMalformed
	case p.version() != 0:
		return dropVersion
	case p.Dst() != d.Addr():
		return dropDst
	case p.PKey()&0x7FFF != roce.DefaultPKey&0x7FFF && !rules.IgnorePKey:
		return dropPKey
	case !d.cfg.TrustLink && !rules.IgnoreICRC && !goodICRC(p):
		return dropICRC
	}
	return delivered
}

// goodICRC checks the ICRC. Where the IPv4 identification was not seen, it is first taken for 0, as this provider sends
// it, and then solved for.
func goodICRC(p *Packet) bool {
	if roce.CheckICRC(p.IP(), p.UDP(), p.Payload()) == roce.ICRCGood {
		return true
	}
	if !p.idUnknown {
		return false
	}
	_, ok := roce.RecoverIPv4ID(p.IP(), p.UDP(), p.Payload())
	return ok
}

// serveAll serves the queue pairs that were touched and gives an empty list.
func (d *Device) serveAll(touched []*queuePair) []*queuePair {
	for i, q := range touched {
		q.mu.Lock()
		if q.serve() {
			d.pump.add(q)
		}
		q.mu.Unlock()
		touched[i] = nil
	}
	return touched[:0]
}

// send seals packets and hands them to the link, through the faults.
func (d *Device) send(packets []*Packet) {
	d.stats.sent.Add(uint64(len(packets)))
	if d.fault.active() || d.cfg.Trace != nil {
		d.fault.outbound(packets)
		return
	}
	for _, p := range packets {
		d.seal(p)
	}
	d.put(packets)
}

// put hands packets to the link. A link that is closed, or a machine that refuses to send, is as a network that loses
// everything: the peers' silence tells.
func (d *Device) put(packets []*Packet) { _ = d.link.Send(packets) }

// seal writes the ICRC.
func (d *Device) seal(p *Packet) {
	b := p.Payload()
	if d.cfg.TrustLink {
		binary.LittleEndian.PutUint32(b[len(b)-roce.ICRCLen:], 0)
		return
	}
	_ = roce.Reseal(p.IP(), p.UDP(), b) // the lengths are right
}
