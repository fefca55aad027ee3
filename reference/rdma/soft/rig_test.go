// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// rig is a pair with known sequence numbers, at whose server packets can be thrown that no device would send, in the name
// of the client, and the other way round. What a device sends in answer is written down.
type rig struct {
	*pair
	t        *testing.T
	thrower  soft.Link
	mu       sync.Mutex
	answers  map[netip.Addr][]string // by who sent them
	recorded bool
}

// First sequence numbers: near the end of their range, so that every test passes zero.
const (
	psnA = 0xFFFFFD // of the client's first packet
	psnB = 0xFFFFFE // of the server's first packet
)

// newRig makes a rig; change, if any, changes the configuration of server and connection.
func newRig(t *testing.T, change func(*soft.Config, *rdma.ConnConfig)) *rig {
	t.Helper()
	return newRigOf(t, soft.Rules{}, change)
}

// newRigOf makes a rig whose client has these rules.
func newRigOf(t *testing.T, client soft.Rules, change func(*soft.Config, *rdma.ConnConfig)) *rig {
	t.Helper()
	r := &rig{t: t, answers: make(map[netip.Addr][]string)}
	edit := func(m roce.CMMessage) {
		switch m := m.(type) {
		case *roce.CMReq:
			m.StartingPSN = psnB
		case *roce.CMRep:
			m.StartingPSN = psnA
		}
	}
	a := soft.Config{PathMTU: 1024, EditCM: edit, Trace: r.write}
	b, conn := a, testConn
	if change != nil {
		change(&b, &conn)
	}
	a.Rules = client
	r.pair = newPair(t, a, b)
	r.connect(t, conn)
	thrower, err := r.hub.Attach(netip.MustParseAddr("10.0.0.99"), 0)
	must(t, err)
	t.Cleanup(func() { closeAll(t, thrower) })
	r.thrower = thrower
	synctest.Wait()
	r.mu.Lock()
	r.recorded = true
	r.mu.Unlock()
	return r
}

// write writes down what a device sends.
func (r *rig) write(rec soft.Record) {
	if rec.Direction != soft.Outbound || rec.Verdict != "sent" || rec.Packet.DestQP() == roce.GSIQPN {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recorded {
		from := rec.Packet.Src()
		r.answers[from] = append(r.answers[from], r.describe(rec.Packet))
	}
}

// describe gives kind and sequence number of a packet, the latter counted from the first of the connection.
func (r *rig) describe(p *soft.Packet) string {
	op, base := p.OpCode(), roce.PSN(psnA)
	if op.IsRequest() == (p.Src() == addrB) {
		base = psnB
	}
	s := fmt.Sprintf("%s %d", op, p.PSN().Sub(base))
	if op.Ext().Has(roce.ExtAETH) {
		aeth := binary.BigEndian.Uint32(p.Ext())
		s += fmt.Sprintf(" (%s) msn %d", roce.Syndrome(aeth>>24), aeth&0xFFFFFF)
	}
	if op.Ext().Has(roce.ExtAtomicAckETH) {
		s += fmt.Sprintf(" original %#x", binary.BigEndian.Uint64(p.Ext()[roce.AETHLen:]))
	}
	if n := len(p.Data()); n > 0 {
		s += fmt.Sprintf(" %d bytes", n)
	}
	if p.AckReq() {
		s += " ack!"
	}
	return s
}

// sent gives, and forgets, what a device has sent.
func (r *rig) sent(from netip.Addr) []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.answers[from]
	delete(r.answers, from)
	return s
}

// thrown is a packet that is thrown at a device.
type thrown struct {
	op      roce.OpCode
	psn     int // counted from the first of the connection
	ack     bool
	addr    int    // offset of the RETH's or AtomicETH's address in the receiver's memory
	key     uint32 // 0 is that of the receiver's memory
	noKey   bool   // key 0 indeed
	length  uint32 // of the RETH
	imm     uint32 // immediate data, or the key to take back
	swap    uint64
	compare uint64
	aeth    roce.Syndrome
	msn     uint32
	data    []byte
	edit    func(*roce.BTH)
	src     string // another source address than the peer's
	seal    uint32 // flips bits of the ICRC
}

// toServer throws a packet at the server in the name of the client.
func (r *rig) toServer(x thrown) {
	base := roce.PSN(psnA)
	if x.op.IsResponse() {
		base = psnB
	}
	r.throw(x, addrA, addrB, r.server.QPN(), base.Add(x.psn), r.memB.Addr(), r.memB.Key())
}

// toClient throws a packet at the client in the name of the server.
func (r *rig) toClient(x thrown) {
	base := roce.PSN(psnB)
	if x.op.IsResponse() {
		base = psnA
	}
	r.throw(x, addrB, addrA, r.client.QPN(), base.Add(x.psn), r.memA.Addr(), r.memA.Key())
}

func (r *rig) throw(x thrown, src, dst netip.Addr, qpn uint32, psn roce.PSN, addr uint64, key uint32) {
	r.t.Helper()
	must(r.t, r.thrower.Send([]*soft.Packet{r.build(x, src, dst, qpn, psn, addr, key)}))
	synctest.Wait()
}

// build makes a packet with gopacket, which the device under test does not use for data.
func (r *rig) build(x thrown, src, dst netip.Addr, qpn uint32, psn roce.PSN, addr uint64, key uint32) *soft.Packet {
	r.t.Helper()
	if x.key != 0 || x.noKey {
		key = x.key
	}
	if x.src != "" {
		src = netip.MustParseAddr(x.src)
	}
	addr += uint64(x.addr)
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 0x1234, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP, SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice())}
	udp := &layers.UDP{SrcPort: 50_000, DstPort: roce.UDPPort}
	bth := layer.BTHOf(roce.BTH{OpCode: x.op, PKey: roce.DefaultPKey, DestQP: qpn, AckReq: x.ack, PSN: psn, ICRCXor: x.seal})
	if x.edit != nil {
		x.edit(&bth.BTH)
	}
	must(r.t, udp.SetNetworkLayerForChecksum(ip))
	bth.SetHeadersForICRC(ip, udp)
	all := []gopacket.SerializableLayer{ip, udp, bth}
	for bit := roce.Ext(1); bit <= roce.ExtCNP; bit <<= 1 {
		if x.op.Ext().Has(bit) {
			all = append(all, x.header(bit, addr, key))
		}
	}
	all = append(all, gopacket.Payload(x.data))
	b := gopacket.NewSerializeBuffer()
	must(r.t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...))
	p, err := soft.NewPacket(b.Bytes())
	must(r.t, err)
	return p
}

func (x *thrown) header(kind roce.Ext, addr uint64, key uint32) gopacket.SerializableLayer {
	switch kind {
	case roce.ExtRETH:
		return layer.Of(roce.RETH{VA: addr, RKey: key, DMALen: x.length})
	case roce.ExtAtomicETH:
		return layer.Of(roce.AtomicETH{VA: addr, RKey: key, SwapAdd: x.swap, Compare: x.compare})
	case roce.ExtAETH:
		return layer.Of(roce.AETH{Syndrome: x.aeth, MSN: x.msn})
	case roce.ExtImmDt:
		return layer.Of(roce.ImmDt{Value: x.imm})
	case roce.ExtIETH:
		return layer.Of(roce.IETH{RKey: x.imm})
	}
	return gopacket.Payload(make([]byte, kind.Len()))
}
