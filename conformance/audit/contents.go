// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Count is how many there are of something.
type Count struct {
	What  string `json:"what"`
	Count uint64 `json:"count"`
}

// Contents say what a capture holds beside storage, and what its packets were wrapped in: the most frequent first.
type Contents struct {
	Wrapped    []Count `json:"wrapped,omitempty"`    // packets of RDMA by the headers around them, if these are not Ethernet, IP and UDP alone
	Transports []Count `json:"transports,omitempty"` // packets of RDMA that are not of reliable connections that began in it
	Services   []Count `json:"services,omitempty"`   // connections that are not of storage, by what they were made to
	Others     []Count `json:"others,omitempty"`     // frames without a packet of RDMA
}

// tallies count contents while frames come.
type tallies struct {
	wrapped    map[wrapping]uint64
	others     map[content]uint64
	services   map[roce.ServiceID]uint64
	transports [8]uint64 // by class
}

// mostTallied is how many kinds are told apart; a flood of more is counted as one.
const mostTallied = 1024

func newTallies() tallies {
	return tallies{make(map[wrapping]uint64), make(map[content]uint64), make(map[roce.ServiceID]uint64), [8]uint64{}}
}

// countOne counts one of a kind, as the zero value of the kind if there are too many.
func countOne[K comparable](counts map[K]uint64, key K) {
	if _, known := counts[key]; !known && len(counts) >= mostTallied {
		var rest K
		key = rest
	}
	counts[key]++
}

var transportNames = map[roce.Class]string{
	roce.ClassUC: "of unreliable connections (UC)", roce.ClassRD: "of reliable datagrams (RD)", roce.ClassUD: "of unreliable datagrams (UD)",
	roce.ClassCNP: "of congestion notification (CNP)", roce.ClassXRC: "of extended reliable connections (XRC)",
	roce.ClassManufacturer: "of a manufacturer's own transport",
}

func (t *tallies) contents() Contents {
	var c Contents
	c.Wrapped = listed(t.wrapped, wrapping.String)
	c.Others = listed(t.others, content.String)
	c.Services = listed(t.services, serviceName)
	for class, n := range t.transports {
		if n > 0 {
			name := transportNames[roce.Class(class<<5)]
			if name == "" {
				name = fmt.Sprintf("of transport class %d", class)
			}
			c.Transports = append(c.Transports, Count{name, n})
		}
	}
	sortCounts(c.Transports)
	return c
}

// listed lists counts by name; kinds of the same name are one.
func listed[K comparable](counts map[K]uint64, name func(K) string) []Count {
	byName := make(map[string]uint64)
	for key, n := range counts {
		byName[name(key)] += n
	}
	var list []Count
	for _, what := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, Count{what, byName[what]})
	}
	sortCounts(list)
	return list
}

func sortCounts(list []Count) {
	slices.SortStableFunc(list, func(a, b Count) int { return cmp.Compare(b.Count, a.Count) })
}

// services are what listens on well-known ports of RDMA connection management.
var services = map[uint16]string{
	445: "SMB Direct", 987: "Lustre", 2049: "NFS over RDMA", 3260: "iSER", 4420: "NVMe over RDMA", 7174: "rping", 7471: "rstream",
	18515: "perftest", 20049: "NFS over RDMA",
}

func serviceName(id roce.ServiceID) string {
	_, port, ok := id.IP()
	switch name := services[port]; {
	case !ok:
		return fmt.Sprintf("service %v", id)
	case name != "":
		return fmt.Sprintf("port %d (%s)", port, name)
	}
	return fmt.Sprintf("port %d", port)
}

// Names of what is told by number, with what keeps its contents from being looked into.
var (
	etherNames = map[uint32]string{
		0x0806: "ARP", 0x8035: "RARP", 0x8808: "Ethernet pause frames", 0x8809: "LACP", 0x8863: "PPPoE discovery", 0x886D: "Intel ANS",
		0x888E: "802.1X", 0x88CC: "LLDP", 0x88E5: "MACsec, which may be encrypted", 0x88F7: "PTP", 0x8902: "802.1ag", 0x8906: "FCoE",
		0x8914: "FCoE initialization",
	}
	protocolNames = map[uint32]string{
		1: "ICMP", 2: "IGMP", 6: "TCP", 47: "GRE of another version", 50: "IPsec ESP, which is encrypted", 51: "IPsec AH", 58: "ICMPv6",
		89: "OSPF", 112: "VRRP", 115: "L2TPv3", 132: "SCTP",
	}
	portNames = map[uint32]string{
		2152: "GTP, which is not looked into", 4500: "IPsec in UDP, which is encrypted", 4789: "VXLAN of an unknown kind",
		4790: "VXLAN-GPE of an unknown kind", 6081: "Geneve of an unknown kind", 37008: "TZSP, which is not looked into",
		51820: "WireGuard, which is encrypted",
	}
)

// longest8023 is the largest length that stands in the place of an EtherType.
const longest8023 = 1500

// String names the content, and the tunnel that it was in: "TCP in VXLAN".
func (c content) String() string {
	if c.wrap == 0 {
		return c.name()
	}
	return c.name() + " in " + c.wrap.String()
}

func (c content) name() string {
	names, rest := map[uint32]string(nil), "broken headers"
	switch c.kind {
	case ofLink:
		rest = Link(c.number).String()
	case ofEther:
		names, rest = etherNames, fmt.Sprintf("EtherType %#04x", c.number)
		if c.number <= longest8023 {
			rest = "802.3"
		}
	case ofProtocol:
		names, rest = protocolNames, fmt.Sprintf("IP protocol %d", c.number)
	case ofPort:
		names, rest = portNames, "UDP"
	case ofFragment:
		rest = "IP fragments"
	}
	if name := names[c.number]; name != "" {
		return name
	}
	return rest
}

// Sentence tells in one sentence what there is, "" if there is nothing to tell: connections to other services, packets of other
// transports, and frames of other protocols with the tunnels that they are in.
func (c Contents) Sentence() string {
	var parts []string
	for _, s := range c.Services {
		parts = append(parts, fmt.Sprintf("%s to %s", plural(s.Count, "connection"), s.What))
	}
	for _, t := range c.Transports {
		parts = append(parts, fmt.Sprintf("%s %s", plural(t.Count, "packet"), t.What))
	}
	for _, w := range c.Wrapped {
		parts = append(parts, fmt.Sprintf("%s of RDMA in %s", plural(w.Count, "packet"), w.What))
	}
	for _, o := range c.Others {
		parts = append(parts, fmt.Sprintf("%s of %s", plural(o.Count, "frame"), o.What))
	}
	const most = 12
	if left := len(parts) - most; left > 0 {
		parts = append(parts[:most], fmt.Sprintf("%d kinds more", left))
	}
	return strings.Join(parts, ", ")
}

func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
