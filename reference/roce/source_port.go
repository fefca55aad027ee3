// SPDX-License-Identifier: Apache-2.0

package roce

const (
	dynamicPorts  = 0xC000 // first of the 2^14 ports that carry entropy
	flowLabelMask = 0xFFFFF
)

// CMFlowLabel gives the flow label that Linux rdma_cm puts into a REQ between
// two RDMA CM ports (measured on Linux 6.12).
func CMFlowLabel(srcPort, dstPort uint16) uint32 {
	return (uint32(srcPort)*31 + uint32(dstPort)) & flowLabelMask
}

// SourcePort gives the UDP source port of a connected queue pair as Linux
// chooses it: from the flow label of the path, or if that is 0 from the two
// queue pair numbers (measured on Linux 6.12 rxe).
func SourcePort(flowLabel, localQPN, remoteQPN uint32) uint16 {
	fl := uint64(flowLabel & flowLabelMask)
	if fl == 0 {
		fl = uint64(localQPN) * uint64(remoteQPN)
		fl ^= fl >> 20
		fl ^= fl >> 40
		fl &= flowLabelMask
	}
	return dynamicPorts | uint16(fl&0x3FFF^fl>>14&0x3F)
}

// DatagramSourcePort gives the UDP source port of an unreliable datagram queue
// pair, queue pair 1 included, as Linux 6.12 rxe chooses it (measured).
func DatagramSourcePort(qpn uint32) uint16 {
	const goldenRatio = 0x61C88647
	return dynamicPorts + uint16(qpn*goldenRatio>>18)
}
