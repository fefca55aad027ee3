// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// wire are those of which something that they send is missing: what their RDMA provider would repeat, and in one case the end of a
// connection. It is taken off the rails.
func wire() []row {
	return []row{
		{
			Name: "target-repeats-nothing", What: "the target's provider does not repeat a packet that was lost",
			Breaks: []string{"IBTRS-INFO-024"},
			Wire:   func(target, _ string) fabric.Fault { return lost(repeated(target, ofRequests)) },
		},
		{
			Name: "initiator-dies-of-a-loss", What: "the initiator's provider sends nothing more when it should repeat something",
			Breaks: []string{"IBTRS-IO-035"},
			By:     []string{"a reliable connection repairs it when a read request is lost"},
			Wire:   func(_, initiator string) fabric.Fault { return lost(afterALoss(initiator)) },
		},
		{
			Name: "target-dies-of-a-loss", What: "the target's provider sends nothing more when it should repeat something",
			Breaks: []string{"IBTRS-IO-036"}, By: []string{"a reliable connection repairs it when the response to a read is lost"},
			Wire: func(target, _ string) fabric.Fault { return lost(afterALoss(target)) },
		},
		{
			Name: "initiator-asks-once", What: "the initiator's connection manager does not repeat a message that was lost",
			Breaks: []string{"IBTRS-CONN-054"},
			Wire:   func(_, initiator string) fabric.Fault { return lost(repeated(initiator, ofManagement)) },
		},
		{
			Name: "target-with-kept-keys-dies-of-a-loss", What: "the target's provider sends nothing more when it should repeat a packet with data, where keys are kept",
			Breaks: []string{"IBTRS-IO-037"}, Pair: mainlineStaticKeys,
			By:   []string{"a reliable connection repairs it when the first packet of a read's data is lost"},
			Wire: func(target, _ string) fabric.Fault { return lost(afterALoss(target)) },
		},
		{
			Name: "gives-up-after-a-flap", What: "the initiator does not try again to connect a path that was lost", Breaks: []string{"IBTRS-PATH-024"},
			By:   []string{"twenty quick flaps of a path that the target ends leave it connected when it is told to reconnect"},
			Wire: func(_, initiator string) fabric.Fault { return lost(laterConnects(initiator)) },
		},
		{
			Name: "counts-all-its-attempts", What: "the attempt that has connected a path counts when it is lost again", Breaks: []string{"IBTRS-PATH-028"},
			By:   []string{"recovery counts its attempts anew when one has succeeded"},
			Wire: func(_, initiator string) fabric.Fault { return lost(buildsBehind(initiator, 2)) },
		},
		{
			Name: "half-open-for-ever", What: "a path on which INFO does not come is never given up", Breaks: []string{"IBTRS-CONN-050"},
			Pair: own, By: []string{"a target ends a path on which INFO does not come"},
			Wire: func(target, _ string) fabric.Fault { return lost(disconnects(target)) },
		},
	}
}

// lost loses packets.
func lost(which fabric.Predicate) fabric.Fault {
	return fabric.Fault{Match: which, Action: fabric.Drop{}}
}

// disconnects matches the disconnect requests of a host.
func disconnects(host string) fabric.Predicate {
	return fabric.Func("disconnect request of "+host, func(f *fabric.Frame) bool {
		header, ok := f.RoCE()
		if !ok || f.From != host {
			return false
		}
		id, ok := ofManagement(header)
		return ok && id.attribute == roce.AttrDREQ
	})
}

// laterConnects matches the connection requests of a host on a rail behind those of the first path.
func laterConnects(host string) fabric.Predicate {
	const first = 8 // connections of a path at most
	seen := make(map[uint64]bool)
	return fabric.Func("later connection request of "+host, func(f *fabric.Frame) bool {
		header, ok := f.RoCE()
		if !ok || f.From != host {
			return false
		}
		id, ok := ofManagement(header)
		if !ok || id.attribute != roce.AttrREQ {
			return false
		}
		seen[id.exchange] = true
		return len(seen) > first
	})
}

// buildsBehind matches the connection requests of a host for builds of a path behind so many.
func buildsBehind(host string, builds uint16) fabric.Predicate {
	return fabric.Func(fmt.Sprintf("connection request of %s behind %d builds", host, builds), func(f *fabric.Frame) bool {
		var p roce.Packet
		if f.From != host || p.Decode(f.Data) != nil || !p.IsMAD() || len(p.Payload) != madSize {
			return false
		}
		mad, _, err := roce.DecodeCM(p.Payload)
		if err != nil || mad.AttributeID != roce.AttrREQ {
			return false
		}
		r, err := ibtrs.ParseConnRequest(p.Payload[reqPrivate:])
		return err == nil && r.Incarnation > builds
	})
}

// identity tells a packet of a host from all others, but not from its repetitions.
type identity struct {
	queue     uint32
	opcode    roce.OpCode
	sequence  roce.PSN
	exchange  uint64           // of connection management
	attribute roce.AttributeID // of connection management
}

// repeated matches what a host sends again, of packets that have an identity.
func repeated(host string, identify func(*roce.BTH) (identity, bool)) fabric.Predicate {
	sent := make(map[identity]bool)
	return fabric.Func("repeated by "+host, func(f *fabric.Frame) bool {
		header, ok := f.RoCE()
		if !ok || f.From != host {
			return false
		}
		id, ok := identify(header)
		if !ok {
			return false
		}
		before := sent[id]
		sent[id] = true
		return before
	})
}

// afterALoss matches what a host sends on reliable connections from its first repetition on.
func afterALoss(host string) fabric.Predicate {
	again, dead := repeated(host, ofRequests), false
	return fabric.Func("from the first "+again.String(), func(f *fabric.Frame) bool {
		dead = dead || again.Match(f)
		header, ok := f.RoCE()
		return dead && ok && f.From == host && header.OpCode.Class() == roce.ClassRC
	})
}

// ofRequests identifies the requests of reliable connections.
func ofRequests(h *roce.BTH) (identity, bool) {
	return identity{queue: h.DestQP, opcode: h.OpCode, sequence: h.PSN}, h.OpCode.Class() == roce.ClassRC && h.OpCode.IsRequest()
}

// ofManagement identifies the messages of connection management.
func ofManagement(h *roce.BTH) (identity, bool) {
	headers := h.OpCode.HeaderLen() - roce.BTHLen
	if h.DestQP != roce.GSIQPN || len(h.Payload) < headers {
		return identity{}, false
	}
	mad, _, err := roce.DecodeCM(h.Payload[headers:])
	return identity{queue: h.DestQP, exchange: mad.TransactionID, attribute: mad.AttributeID}, err == nil
}
