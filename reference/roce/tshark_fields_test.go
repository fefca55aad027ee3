// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"math/bits"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// sight is one packet as this package sees it.
type sight struct {
	roce.Packet
	mad *roce.MAD
	msg roce.CMMessage
	ip  *roce.IPCM

	application []byte // private data behind the IP addressing
}

// agreement pairs a field of tshark with our value for it: an integer, a bool,
// bytes, an address, or nil if the packet has no such field. Where tshark is
// known to differ, theirs gives its value and why says who is right.
type agreement struct {
	field  string
	ours   func(s *sight) any
	theirs func(s *sight) any
	why    string
}

// has gives get's value for packets with an extension header.
func has(h roce.Ext, get func(s *sight) any) func(s *sight) any {
	return func(s *sight) any {
		if !s.Has(h) {
			return nil
		}
		return get(s)
	}
}

// syndrome gives the low bits of syndromes of one class.
func syndrome(class uint8) func(s *sight) any {
	return has(roce.ExtAETH, func(s *sight) any {
		if uint8(s.AETH.Syndrome)>>5&3 != class {
			return nil
		}
		return s.AETH.Syndrome.Value()
	})
}

func inMAD(get func(m *roce.MAD) any) func(s *sight) any {
	return func(s *sight) any {
		if s.mad == nil {
			return nil
		}
		return get(s.mad)
	}
}

// madData gives what follows the header of a management datagram.
func madData(s *sight) any {
	if s.mad == nil {
		return nil
	}
	return s.Payload[roce.MADHeaderLen:]
}

// application gives the private data behind the IP addressing.
func application(s *sight) any {
	if s.ip == nil {
		return nil
	}
	return s.application
}

// written gives the bytes of a header.
func written(h roce.Header) []byte {
	b := make([]byte, h.Len())
	h.Put(b)
	return b
}

// in gives get's value for CM messages of one type.
func in[M roce.CMMessage](get func(m M) any) func(s *sight) any {
	return func(s *sight) any {
		m, ok := s.msg.(M)
		if !ok {
			return nil
		}
		return get(m)
	}
}

func inReq(get func(r *roce.CMReq) any) func(s *sight) any { return in(get) }
func inRep(get func(r *roce.CMRep) any) func(s *sight) any { return in(get) }
func inRej(get func(r *roce.CMRej) any) func(s *sight) any { return in(get) }

func inIPCM(get func(c *roce.IPCM) any) func(s *sight) any {
	return func(s *sight) any {
		if s.ip == nil {
			return nil
		}
		return get(s.ip)
	}
}

// ipVersion gives get's value for IP addressing of one version.
func ipVersion(v uint8, get func(c *roce.IPCM) any) func(s *sight) any {
	return inIPCM(func(c *roce.IPCM) any {
		if c.IPVersion != v {
			return nil
		}
		return get(c)
	})
}

// The primary GIDs of a REQ.
func localGID(r *roce.CMReq) roce.GID  { return r.Primary.LocalGID }
func remoteGID(r *roce.CMReq) roce.GID { return r.Primary.RemoteGID }

// gid gives a GID of a REQ if it is of one IP version.
func gid(four bool, get func(r *roce.CMReq) roce.GID) func(s *sight) any {
	return inReq(func(r *roce.CMReq) any {
		if a := get(r).Addr(); a.Is4() == four {
			return a
		}
		return nil
	})
}

// tsharkGID gives a GID of a REQ as tshark shows it.
func tsharkGID(four bool, get func(r *roce.CMReq) roce.GID) func(s *sight) any {
	return func(s *sight) any {
		r, ok := s.msg.(*roce.CMReq)
		if !ok || s.Src.Is4() != four {
			return nil
		}
		g := get(r)
		if four {
			return netip.AddrFrom4([4]byte(g[12:]))
		}
		return netip.AddrFrom16(g)
	}
}

// flowWord is the word of a path that begins with the flow label, as on the wire.
func flowWord(p *roce.CMPath) uint32 {
	return p.FlowLabel<<12 | uint32(p.Reserved6)<<6 | uint32(p.PacketRate)
}

const (
	whyFlowLabel = `tshark applies the mask of a 32-bit word to the first 3 bytes or the first byte of it. We are right:
our flow label is the one rdma_cm computes from the ports, and gives the UDP source port of the data packets`
	whyGID = `tshark takes a GID for IPv4 if the packet is IPv4, whatever the GID. We are right: a GID is
IPv4 if it is a mapped address; only a REQ with a wrong GID shows the difference`
	whyReserved = `tshark shows 2 of the 6 bits between the kind of message and the length of the information.
We are right: the specification has no other field there`
	whyCRCOrder = `tshark shows the four bytes as a big-endian number, we as the number that the CRC computes to, which
stands on the wire least significant byte first; the same bytes`
)

// agreements are all fields that tshark 4.0 has for the headers of this package.
var agreements = []agreement{
	{field: "infiniband.bth.opcode", ours: func(s *sight) any { return uint8(s.BTH.OpCode) }},
	{field: "infiniband.bth.se", ours: func(s *sight) any { return s.BTH.Solicited }},
	{field: "infiniband.bth.m", ours: func(s *sight) any { return s.BTH.MigReq }},
	{field: "infiniband.bth.padcnt", ours: func(s *sight) any { return s.BTH.PadCnt }},
	{field: "infiniband.bth.tver", ours: func(s *sight) any { return s.BTH.TVer }},
	{field: "infiniband.bth.p_key", ours: func(s *sight) any { return s.BTH.PKey }},
	{field: "infiniband.bth.destqp", ours: func(s *sight) any { return s.BTH.DestQP }},
	{field: "infiniband.bth.a", ours: func(s *sight) any { return s.BTH.AckReq }},
	{field: "infiniband.bth.reserved7", ours: func(s *sight) any { return s.BTH.Reserved7 }},
	{field: "infiniband.bth.psn", ours: func(s *sight) any { return uint32(s.BTH.PSN) }},
	{field: "infiniband.bth", ours: func(s *sight) any { return written(baseHeader{&s.BTH}) }},
	{
		field: "infiniband.invariant.crc", ours: func(s *sight) any { return s.BTH.ICRC },
		theirs: func(s *sight) any { return bits.ReverseBytes32(s.BTH.ICRC) }, why: whyCRCOrder,
	},

	{field: "infiniband.deth", ours: has(roce.ExtDETH, func(s *sight) any { return written(&s.DETH) })},
	{field: "infiniband.deth.q_key", ours: has(roce.ExtDETH, func(s *sight) any { return s.DETH.QKey })},
	{field: "infiniband.deth.srcqp", ours: has(roce.ExtDETH, func(s *sight) any { return s.DETH.SrcQP })},

	{field: "infiniband.reth", ours: has(roce.ExtRETH, func(s *sight) any { return written(&s.RETH) })},
	{field: "infiniband.reth.va", ours: func(s *sight) any {
		if s.Has(roce.ExtAtomicETH) {
			return s.AtomicETH.VA
		}
		return has(roce.ExtRETH, func(s *sight) any { return s.RETH.VA })(s)
	}},
	{field: "infiniband.reth.r_key", ours: func(s *sight) any {
		if s.Has(roce.ExtAtomicETH) {
			return s.AtomicETH.RKey
		}
		return has(roce.ExtRETH, func(s *sight) any { return s.RETH.RKey })(s)
	}},
	{field: "infiniband.reth.dmalen", ours: has(roce.ExtRETH, func(s *sight) any { return s.RETH.DMALen })},

	{field: "infiniband.atomiceth", ours: has(roce.ExtAtomicETH, func(s *sight) any { return written(&s.AtomicETH) })},
	{field: "infiniband.atomiceth.swapdt", ours: has(roce.ExtAtomicETH, func(s *sight) any { return s.AtomicETH.SwapAdd })},
	{field: "infiniband.atomiceth.cmpdt", ours: has(roce.ExtAtomicETH, func(s *sight) any { return s.AtomicETH.Compare })},
	{field: "infiniband.atomicacketh", ours: has(roce.ExtAtomicAckETH, func(s *sight) any { return written(&s.AtomicAckETH) })},
	{field: "infiniband.atomicacketh.origremdt", ours: has(roce.ExtAtomicAckETH, func(s *sight) any { return s.AtomicAckETH.Original })},

	{field: "infiniband.aeth", ours: has(roce.ExtAETH, func(s *sight) any { return written(&s.AETH) })},
	{field: "infiniband.aeth.syndrome", ours: has(roce.ExtAETH, func(s *sight) any { return uint8(s.AETH.Syndrome) })},
	{field: "infiniband.aeth.syndrome.reserved", ours: has(roce.ExtAETH, func(s *sight) any { return uint8(s.AETH.Syndrome) >> 7 })},
	{field: "infiniband.aeth.syndrome.opcode", ours: has(roce.ExtAETH, func(s *sight) any { return uint8(s.AETH.Syndrome) >> 5 & 3 })},
	{field: "infiniband.aeth.syndrome.credit_count", ours: syndrome(0)},
	{field: "infiniband.aeth.syndrome.timer", ours: syndrome(1)},
	{field: "infiniband.aeth.syndrome.reserved_value", ours: syndrome(2)},
	{field: "infiniband.aeth.syndrome.error_code", ours: syndrome(3)},
	{field: "infiniband.aeth.msn", ours: has(roce.ExtAETH, func(s *sight) any { return s.AETH.MSN })},

	{field: "infiniband.immdt", ours: has(roce.ExtImmDt, func(s *sight) any { return written(&s.ImmDt) })},
	{field: "infiniband.ieth", ours: has(roce.ExtIETH, func(s *sight) any { return written(&s.IETH) })},

	{field: "infiniband.mad.baseversion", ours: inMAD(func(m *roce.MAD) any { return m.BaseVersion })},
	{field: "infiniband.mad.mgmtclass", ours: inMAD(func(m *roce.MAD) any { return m.MgmtClass })},
	{field: "infiniband.mad.classversion", ours: inMAD(func(m *roce.MAD) any { return m.ClassVersion })},
	{field: "infiniband.mad.method", ours: inMAD(func(m *roce.MAD) any { return m.Method })},
	{field: "infiniband.mad.status", ours: inMAD(func(m *roce.MAD) any { return m.Status })},
	{field: "infiniband.mad.classspecific", ours: inMAD(func(m *roce.MAD) any { return m.ClassSpecific })},
	{field: "infiniband.mad.transactionid", ours: inMAD(func(m *roce.MAD) any { return m.TransactionID })},
	{field: "infiniband.mad.attributeid", ours: inMAD(func(m *roce.MAD) any { return uint16(m.AttributeID) })},
	{field: "infiniband.mad.attributemodifier", ours: inMAD(func(m *roce.MAD) any { return m.AttributeModifier })},
	{field: "infiniband.mad.data", ours: madData},

	{field: "infiniband.cm.req", ours: inReq(func(r *roce.CMReq) any { return r.LocalCommID })},
	{field: "infiniband.cm.req.serviceid", ours: inReq(func(r *roce.CMReq) any { return uint64(r.ServiceID) })},
	{field: "infiniband.cm.req.serviceid.prefix", ours: ipService(func(r *roce.CMReq) any { return written(r)[8:13] })},
	{field: "infiniband.cm.req.serviceid.protocol", ours: ipService(func(r *roce.CMReq) any { p, _, _ := r.ServiceID.IP(); return p })},
	{field: "infiniband.cm.req.serviceid.dport", ours: ipService(func(r *roce.CMReq) any { _, p, _ := r.ServiceID.IP(); return p })},
	{field: "infiniband.cm.req.localcaguid", ours: inReq(func(r *roce.CMReq) any { return r.LocalCAGUID })},
	{field: "infiniband.cm.req.localqkey", ours: inReq(func(r *roce.CMReq) any { return r.LocalQKey })},
	{field: "infiniband.cm.req.localqpn", ours: inReq(func(r *roce.CMReq) any { return r.LocalQPN })},
	{field: "infiniband.cm.req.responderres", ours: inReq(func(r *roce.CMReq) any { return r.ResponderResources })},
	{field: "infiniband.cm.req.localeecn", ours: inReq(func(r *roce.CMReq) any { return r.LocalEECN })},
	{field: "infiniband.cm.req.initdepth", ours: inReq(func(r *roce.CMReq) any { return r.InitiatorDepth })},
	{field: "infiniband.cm.req.remoteeecn", ours: inReq(func(r *roce.CMReq) any { return r.RemoteEECN })},
	{field: "infiniband.cm.req.remoteresptout", ours: inReq(func(r *roce.CMReq) any { return r.RemoteCMTimeout })},
	{field: "infiniband.cm.req.transpsvctype", ours: inReq(func(r *roce.CMReq) any { return uint8(r.TransportType) })},
	{field: "infiniband.cm.req.e2eflowctrl", ours: inReq(func(r *roce.CMReq) any { return r.FlowControl })},
	{field: "infiniband.cm.req.startpsn", ours: inReq(func(r *roce.CMReq) any { return uint32(r.StartingPSN) })},
	{field: "infiniband.cm.req.localresptout", ours: inReq(func(r *roce.CMReq) any { return r.LocalCMTimeout })},
	{field: "infiniband.cm.req.retrcount", ours: inReq(func(r *roce.CMReq) any { return r.RetryCount })},
	{field: "infiniband.cm.req.pkey", ours: inReq(func(r *roce.CMReq) any { return r.PKey })},
	{field: "infiniband.cm.req.pppmtu", ours: inReq(func(r *roce.CMReq) any { return uint8(r.PathMTU) })},
	{field: "infiniband.cm.req.rdcexist", ours: inReq(func(r *roce.CMReq) any { return r.RDCExists })},
	{field: "infiniband.cm.req.rnrretrcount", ours: inReq(func(r *roce.CMReq) any { return r.RNRRetryCount })},
	{field: "infiniband.cm.req.maxcmretr", ours: inReq(func(r *roce.CMReq) any { return r.MaxCMRetries })},
	{field: "infiniband.cm.req.srq", ours: inReq(func(r *roce.CMReq) any { return r.SRQ })},
	{field: "infiniband.cm.req.ext_transport", ours: inReq(func(r *roce.CMReq) any { return r.ExtendedTransport })},
	{field: "infiniband.cm.req.prim_locallid", ours: inReq(func(r *roce.CMReq) any { return r.Primary.LocalLID })},
	{field: "infiniband.cm.req.prim_remotelid", ours: inReq(func(r *roce.CMReq) any { return r.Primary.RemoteLID })},
	{
		field: "infiniband.cm.req.prim_localgid", ours: gid(false, localGID),
		theirs: tsharkGID(false, localGID), why: whyGID,
	},
	{
		field: "infiniband.cm.req.prim_remotegid", ours: gid(false, remoteGID),
		theirs: tsharkGID(false, remoteGID), why: whyGID,
	},
	{
		field: "infiniband.cm.req.prim_localgid_ipv4", ours: gid(true, localGID),
		theirs: tsharkGID(true, localGID), why: whyGID,
	},
	{
		field: "infiniband.cm.req.prim_remotegid_ipv4", ours: gid(true, remoteGID),
		theirs: tsharkGID(true, remoteGID), why: whyGID,
	},
	{
		field: "infiniband.cm.req.prim_flowlabel", ours: inReq(func(r *roce.CMReq) any { return r.Primary.FlowLabel }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Primary) >> 20 }), why: whyFlowLabel,
	},
	{
		field: "infiniband.cm.req.prim_reserved0", ours: inReq(func(r *roce.CMReq) any { return r.Primary.Reserved6 }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Primary) >> 30 }), why: whyFlowLabel,
	},
	{
		field: "infiniband.cm.req.prim_pktrate", ours: inReq(func(r *roce.CMReq) any { return r.Primary.PacketRate }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Primary) >> 24 & 0x3F }), why: whyFlowLabel,
	},
	{field: "infiniband.cm.req.prim_tfcclass", ours: inReq(func(r *roce.CMReq) any { return r.Primary.TrafficClass })},
	{field: "infiniband.cm.req.prim_hoplim", ours: inReq(func(r *roce.CMReq) any { return r.Primary.HopLimit })},
	{field: "infiniband.cm.req.prim_sl", ours: inReq(func(r *roce.CMReq) any { return r.Primary.SL })},
	{field: "infiniband.cm.req.prim_subnetlocal", ours: inReq(func(r *roce.CMReq) any { return r.Primary.SubnetLocal })},
	{field: "infiniband.cm.req.prim_reserved1", ours: inReq(func(r *roce.CMReq) any { return r.Primary.Reserved3 })},
	{field: "infiniband.cm.req.prim_localacktout", ours: inReq(func(r *roce.CMReq) any { return r.Primary.ACKTimeout })},
	{field: "infiniband.cm.req.prim_reserved2", ours: inReq(func(r *roce.CMReq) any { return r.Primary.Reserved3b })},
	{field: "infiniband.cm.req.alt_locallid", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.LocalLID })},
	{field: "infiniband.cm.req.alt_remotelid", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.RemoteLID })},
	{field: "infiniband.cm.req.alt_localgid", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.LocalGID[:] })},
	{field: "infiniband.cm.req.alt_remotegid", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.RemoteGID[:] })},
	{
		field: "infiniband.cm.req.alt_flowlabel", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.FlowLabel }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Alternate) >> 20 }), why: whyFlowLabel,
	},
	{
		field: "infiniband.cm.req.alt_reserved0", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.Reserved6 }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Alternate) >> 30 }), why: whyFlowLabel,
	},
	{
		field: "infiniband.cm.req.alt_pktrate", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.PacketRate }),
		theirs: inReq(func(r *roce.CMReq) any { return flowWord(&r.Alternate) >> 24 & 0x3F }), why: whyFlowLabel,
	},
	{field: "infiniband.cm.req.alt_tfcclass", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.TrafficClass })},
	{field: "infiniband.cm.req.alt_hoplim", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.HopLimit })},
	{field: "infiniband.cm.req.alt_sl", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.SL })},
	{field: "infiniband.cm.req.alt_subnetlocal", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.SubnetLocal })},
	{
		// tshark has one field for the reserved bits of bytes 138 and 139.
		field: "infiniband.cm.req.alt_reserved1", ours: inReq(func(r *roce.CMReq) any {
			return several{r.Alternate.Reserved3, r.Alternate.Reserved3b}
		}),
	},
	{field: "infiniband.cm.req.alt_localacktout", ours: inReq(func(r *roce.CMReq) any { return r.Alternate.ACKTimeout })},
	{field: "infiniband.cm.req.private", ours: inReq(func(r *roce.CMReq) any {
		if _, _, ok := r.ServiceID.IP(); ok {
			return nil
		}
		return r.PrivateData()
	})},

	{field: "infiniband.cm.req.ip_cm", ours: ipService(func(r *roce.CMReq) any { return r.PrivateData() })},
	{field: "infiniband.cm.req.ip_cm.majv", ours: inIPCM(func(c *roce.IPCM) any { return c.MajorVersion })},
	{field: "infiniband.cm.req.ip_cm.minv", ours: inIPCM(func(c *roce.IPCM) any { return c.MinorVersion })},
	{field: "infiniband.cm.req.ip_cm.ipv", ours: inIPCM(func(c *roce.IPCM) any { return c.IPVersion })},
	{field: "infiniband.cm.req.ip_cm.reserved", ours: inIPCM(func(c *roce.IPCM) any { return c.Reserved })},
	{field: "infiniband.cm.req.ip_cm.sport", ours: inIPCM(func(c *roce.IPCM) any { return c.SrcPort })},
	{field: "infiniband.cm.req.ip_cm.sip4", ours: ipVersion(4, func(c *roce.IPCM) any { return c.SrcAddr() })},
	{field: "infiniband.cm.req.ip_cm.dip4", ours: ipVersion(4, func(c *roce.IPCM) any { return c.DstAddr() })},
	{field: "infiniband.cm.req.ip_cm.sip6", ours: ipVersion(6, func(c *roce.IPCM) any { return c.SrcAddr() })},
	{field: "infiniband.cm.req.ip_cm.dip6", ours: ipVersion(6, func(c *roce.IPCM) any { return c.DstAddr() })},
	{field: "infiniband.cm.req.ip_cm.private", ours: application},

	{field: "infiniband.cm.rep", ours: inRep(func(r *roce.CMRep) any { return r.LocalCommID })},
	{field: "infiniband.cm.rep.remotecommid", ours: inRep(func(r *roce.CMRep) any { return r.RemoteCommID })},
	{field: "infiniband.cm.rep.localqkey", ours: inRep(func(r *roce.CMRep) any { return r.LocalQKey })},
	{field: "infiniband.cm.rep.localqpn", ours: inRep(func(r *roce.CMRep) any { return r.LocalQPN })},
	{field: "infiniband.cm.rep.localeecn", ours: inRep(func(r *roce.CMRep) any { return r.LocalEECN })},
	{field: "infiniband.cm.rep.startpsn", ours: inRep(func(r *roce.CMRep) any { return uint32(r.StartingPSN) })},
	{field: "infiniband.cm.rep.respres", ours: inRep(func(r *roce.CMRep) any { return r.ResponderResources })},
	{field: "infiniband.cm.rep.initdepth", ours: inRep(func(r *roce.CMRep) any { return r.InitiatorDepth })},
	{field: "infiniband.cm.rep.tgtackdelay", ours: inRep(func(r *roce.CMRep) any { return r.TargetACKDelay })},
	{field: "infiniband.cm.rep.failoveracc", ours: inRep(func(r *roce.CMRep) any { return r.FailoverAccepted })},
	{field: "infiniband.cm.rep.e2eflowctrl", ours: inRep(func(r *roce.CMRep) any { return r.FlowControl })},
	{field: "infiniband.cm.rep.rnrretrcount", ours: inRep(func(r *roce.CMRep) any { return r.RNRRetryCount })},
	{field: "infiniband.cm.rep.srq", ours: inRep(func(r *roce.CMRep) any { return r.SRQ })},
	{field: "infiniband.cm.rep.reserved", ours: inRep(func(r *roce.CMRep) any { return r.Reserved })},
	{field: "infiniband.cm.rep.localcaguid", ours: inRep(func(r *roce.CMRep) any { return r.LocalCAGUID })},
	{field: "infiniband.cm.rep.private", ours: inRep(func(r *roce.CMRep) any { return r.PrivateData() })},

	{field: "infiniband.cm.rej.localcommid", ours: inRej(func(r *roce.CMRej) any { return r.LocalCommID })},
	{field: "infiniband.cm.rej.remotecommid", ours: inRej(func(r *roce.CMRej) any { return r.RemoteCommID })},
	{field: "infiniband.cm.rej.msgrej", ours: inRej(func(r *roce.CMRej) any { return uint8(r.MessageRejected) })},
	{
		field: "infiniband.cm.rej.reserved0", ours: inRej(func(r *roce.CMRej) any { return r.Reserved6 }),
		theirs: inRej(func(r *roce.CMRej) any { return r.Reserved6 & 3 }), why: whyReserved,
	},
	{field: "infiniband.cm.rej.rejinfolen", ours: inRej(func(r *roce.CMRej) any { return r.InfoLength })},
	{field: "infiniband.cm.rej.reserved1", ours: inRej(func(r *roce.CMRej) any { return r.Reserved1 })},
	{field: "infiniband.cm.rej.reason", ours: inRej(func(r *roce.CMRej) any { return uint16(r.Reason) })},
	{field: "infiniband.cm.rej.ari", ours: inRej(func(r *roce.CMRej) any { return r.Info[:] })},
	{field: "infiniband.cm.rej.private", ours: inRej(func(r *roce.CMRej) any { return r.PrivateData() })},

	{field: "infiniband.cm.rtu.localcommid", ours: in(func(r *roce.CMRtu) any { return r.LocalCommID })},
	{field: "infiniband.cm.rtu.remotecommid", ours: in(func(r *roce.CMRtu) any { return r.RemoteCommID })},
	{field: "infiniband.cm.rtu.private", ours: in(func(r *roce.CMRtu) any { return r.PrivateData() })},
	{field: "infiniband.cm.dreq.localcommid", ours: in(func(d *roce.CMDreq) any { return d.LocalCommID })},
	{field: "infiniband.cm.dreq.remotecommid", ours: in(func(d *roce.CMDreq) any { return d.RemoteCommID })},
	{field: "infiniband.cm.req.remoteqpneecn", ours: in(func(d *roce.CMDreq) any { return d.RemoteQPN })},
	{field: "infiniband.cm.dreq.private", ours: in(func(d *roce.CMDreq) any { return d.PrivateData() })},
	{field: "infiniband.cm.drsp.localcommid", ours: in(func(d *roce.CMDrep) any { return d.LocalCommID })},
	{field: "infiniband.cm.drsp.remotecommid", ours: in(func(d *roce.CMDrep) any { return d.RemoteCommID })},
	{field: "infiniband.cm.drsp.private", ours: in(func(d *roce.CMDrep) any { return d.PrivateData() })},
}

// ipService gives get's value for a REQ to the RDMA IP CM service.
func ipService(get func(r *roce.CMReq) any) func(s *sight) any {
	return inReq(func(r *roce.CMReq) any {
		if _, _, ok := r.ServiceID.IP(); !ok {
			return nil
		}
		return get(r)
	})
}

// notCompared are fields of tshark's for the headers of this package that have
// no value of their own.
var notCompared = map[string]string{
	"infiniband.mad": "the whole datagram, compared as infiniband.mad.* and infiniband.mad.data",
}
