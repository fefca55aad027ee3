// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// toC translates an address. A zone is the name or the index of an interface.
func toC(addr netip.AddrPort) (C.struct_shim_addr, error) {
	var out C.struct_shim_addr
	out.port = C.uint16_t(addr.Port())
	ip := addr.Addr().Unmap()
	for i, b := range ip.AsSlice() {
		out.ip[i] = C.uint8_t(b)
	}
	if ip.Is4() {
		return out, nil
	}
	out.is6 = 1
	if ip.Zone() == "" {
		return out, nil
	}
	scope, err := scopeOf(ip.Zone())
	out.scope = C.uint32_t(scope)
	return out, err
}

func scopeOf(zone string) (int, error) {
	if index, err := strconv.Atoi(zone); err == nil {
		return index, nil
	}
	nic, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q of an IPv6 address: %w", zone, err)
	}
	return nic.Index, nil
}

// fromC translates an address back, with the zone as an index.
func fromC(addr *C.struct_shim_addr) netip.AddrPort {
	var ip [16]byte
	for i := range ip {
		ip[i] = byte(addr.ip[i])
	}
	port := uint16(addr.port)
	if addr.is6 == 0 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[:4])), port)
	}
	out := netip.AddrFrom16(ip)
	if addr.scope != 0 {
		out = out.WithZone(strconv.Itoa(int(addr.scope)))
	}
	return netip.AddrPortFrom(out, port)
}

func localAddr(id *C.struct_rdma_cm_id) netip.AddrPort {
	var addr C.struct_shim_addr
	C.shim_local_addr(id, &addr)
	return fromC(&addr)
}

func peerAddr(id *C.struct_rdma_cm_id) netip.AddrPort {
	var addr C.struct_shim_addr
	C.shim_peer_addr(id, &addr)
	return fromC(&addr)
}
