// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"
	"strings"
)

// wrapper is a header that a packet of RDMA may stand behind.
type wrapper uint8

const (
	unwrapped wrapper = iota
	inVLAN
	inServiceVLAN
	inOldServiceVLAN
	inBackbone
	inPortExtender
	inVNTag
	inRedundancy
	inSNAP
	inPPPoE
	inMPLS
	inIPv4
	inIPv6
	inGRE
	inBridgedGRE
	inERSPAN1
	inERSPAN2
	inERSPAN3
	inEtherIP
	inVXLAN
	inVXLANGPE
	inGeneve
	inERF
	inRoCEv1
	inInfiniBand
	wrappers
)

var wrapperNames = [wrappers]string{
	"", "802.1Q", "802.1ad", "VLAN 0x9100", "802.1ah", "802.1BR", "VN-Tag", "802.1CB", "SNAP", "PPPoE", "MPLS", "IPv4", "IPv6", "GRE",
	"bridged GRE", "ERSPAN I", "ERSPAN II", "ERSPAN III", "EtherIP", "VXLAN", "VXLAN-GPE", "Geneve", "ERF", "RoCEv1", "InfiniBand",
}

// wrapping are the headers around a packet, the innermost in the lowest bits. The IP and UDP headers that a tunnel runs over are
// not listed beside it.
type wrapping uint64

const (
	wrapperBits = 5
	mostWrapped = 12 // headers around one packet
)

// with adds the next header inwards; it is false if there are too many.
func (w wrapping) with(next wrapper) (wrapping, bool) {
	return w<<wrapperBits | wrapping(next), w>>(wrapperBits*(mostWrapped-1)) == 0
}

// innermost is the header that stands right before the packet.
func (w wrapping) innermost() wrapper { return wrapper(w & (1<<wrapperBits - 1)) }

// String names the headers from the outside in: "802.1ad, 802.1Q".
func (w wrapping) String() string {
	var names []string
	for ; w != 0; w >>= wrapperBits {
		names = append(names, wrapperNames[w.innermost()])
	}
	slices.Reverse(names)
	return strings.Join(names, ", ")
}
