// SPDX-License-Identifier: Apache-2.0

package agent

import "net/netip"

// A Network is what a guest is to look like on its rails. It is complete: addresses and RDMA devices of an interface that
// it does not have are taken away.
type Network struct {
	// Hostname of the guest.
	Hostname string `json:"hostname"`
	// Interfaces of the guest that are to be set up. Others are left alone.
	Interfaces []Interface `json:"interfaces"`
}

// RDMAResources are numbers of objects by device and kind: "rxe0", "qp". The kinds are those of "rdma resource show".
type RDMAResources map[string]map[string]uint64

// An Interface is one NIC of a guest.
type Interface struct {
	// MAC is the hardware address that it is recognised by, "52:54:00:..".
	MAC string `json:"mac"`
	// Name that it gets; "" leaves the kernel's.
	Name string `json:"name,omitempty"`
	// MTU in bytes; 0 leaves it as it is. The path MTU of an RDMA device is the largest of 256, 512, 1024, 2048 and 4096
	// that fits with its headers.
	MTU int `json:"mtu,omitempty"`
	// Addresses, IPv4 and IPv6, with the length of their prefix.
	Addresses []netip.Prefix `json:"addresses"`
	// RDMA is the name of the soft-RoCE device on it; "" is none.
	RDMA string `json:"rdma,omitempty"`
}
