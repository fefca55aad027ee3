// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// encoding is a way in which the same traffic may come.
type encoding struct {
	name  string
	files func(c Capture) [][]byte // as many captures, that are judged together
	wrap  string                   // what the report says that packets were in
	other int                      // frames without a packet of RDMA, if they are not those of the plain capture
	odd   string                   // what the report says that there is beside
	times int                      // that each frame is in it, if not once
}

// onePcap encodes frames as one classic capture of a link type, after each was wrapped.
func onePcap(link audit.Link, wrap func([]byte) []byte) func(Capture) [][]byte {
	return func(c Capture) [][]byte {
		return [][]byte{changed32(classic{}.write(wrapped(c, wrap)), 20, uint32(link))}
	}
}

func one(write func(Capture) []byte) func(Capture) [][]byte {
	return func(c Capture) [][]byte { return [][]byte{write(c)} }
}

func inClassic(how classic) func(Capture) [][]byte {
	return func(c Capture) [][]byte { return [][]byte{how.write(c)} }
}

// inNg writes one interface with options, and each frame by a function.
func inNg(order byteOrder, options func(*ng) [][]byte, write func(w *ng, i int, f audit.Frame)) func(Capture) [][]byte {
	return func(c Capture) [][]byte { return [][]byte{ngOf(c, order, options, write)} }
}

func inMicros(w *ng, _ int, f audit.Frame) { w.enhanced(0, micros(f.At), f) }

var (
	le byteOrder = binary.LittleEndian
	no           = -1 // no frame without a packet of RDMA
)

// encodings are in the order: files, links, tunnels.
var encodings = []encoding{
	{name: "pcap", files: inClassic(classic{})},
	{name: "pcap, microseconds", files: inClassic(classic{magic: pcapMagic})},
	{name: "pcap, big endian", files: inClassic(classic{order: be})},
	{name: "pcap, big endian, microseconds", files: inClassic(classic{order: be, magic: pcapMagic})},
	{name: "pcap of a patched libpcap", files: inClassic(classic{magic: pcapKuznetzovMagic, extra: 8})},
	{name: "pcap of a patched libpcap, big endian", files: inClassic(classic{magic: pcapKuznetzovMagic, extra: 8, order: be})},
	{name: "pcap 2.2", files: inClassic(classic{magic: pcapMagic, major: 2, minor: 2, lengths: swap})},
	{name: "pcap 2.3", files: inClassic(classic{magic: pcapMagic, major: 2, minor: 3})},
	{name: "pcap 543.0 of DG/UX", files: inClassic(classic{magic: pcapMagic, major: 543, minor: 0, lengths: swap})},
	{name: "pcap, snap length 0", files: one(func(c Capture) []byte { return changed32(classic{}.write(c), 16, 0) })},
	{name: "pcap, snap length below the frames", files: inClassic(classic{snap: 96})},
	{name: "pcap, snap length of 2 GiB", files: inClassic(classic{snap: 1 << 31})},
	{name: "pcap, captured length above the length", files: inClassic(classic{trailer: []byte{1, 2, 3, 4}})},
	{name: "pcap, length 0", files: inClassic(classic{lengths: func(c, _ uint32) (uint32, uint32) { return c, 0 }})},
	{name: "pcap, length of the check sequence in the link type", files: inClassic(classic{link: 0x24000001, trailer: []byte{1, 2, 3, 4}})},
	{name: "pcap, gzip", files: one(func(c Capture) []byte { return zipped(classic{}.write(c)) })},
	{name: "pcap, gzip in two members", files: one(func(c Capture) []byte {
		b := classic{}.write(c)
		return append(zipped(b[:len(b)/2]), zipped(b[len(b)/2:])...)
	})},
	{name: "snoop", files: one(snoopOf)},
	{name: "pcapng", files: inNg(le, nil, inMicros)},
	{name: "pcapng, big endian", files: inNg(be, nil, inMicros)},
	{name: "pcapng 1.2", files: one(func(c Capture) []byte {
		w := newNg(le, 2).iface(audit.Ethernet, 0)
		for i, f := range c {
			inMicros(w, i, f)
		}
		return w.out
	})},
	{name: "pcapng, nanoseconds", files: inNg(le, unit(9), func(w *ng, _ int, f audit.Frame) { w.enhanced(0, uint64(f.At.UnixNano()), f) })},
	{name: "pcapng, picoseconds with an offset", files: inNg(be, func(w *ng) [][]byte {
		return [][]byte{w.option(ngOptionUnit, []byte{12}), w.option(ngOptionOffset, w.u64(1_700_000_000))}
	}, func(w *ng, _ int, f audit.Frame) { w.enhanced(0, uint64(f.At.UnixNano()-1_700_000_000e9)*1000, f) })},
	{name: "pcapng, units of 2^-30 s", files: inNg(le, unit(0x80|30), func(w *ng, _ int, f audit.Frame) {
		w.enhanced(0, uint64(f.At.Unix())<<30|uint64(f.At.Nanosecond())<<30/1e9+1, f)
	})},
	{name: "pcapng, obsolete packet blocks", files: inNg(le, nil, func(w *ng, _ int, f audit.Frame) { w.obsolete(0, micros(f.At), f) })},
	{name: "pcapng, simple packet blocks", files: inNg(le, nil, func(w *ng, _ int, f audit.Frame) { w.simple(f) })},
	{name: "pcapng, blocks of unknown kinds, one of 2 MiB", files: inNg(le, nil, func(w *ng, i int, f audit.Frame) {
		w.block(0x0C0FFEE, make([]byte, map[bool]int{true: 2 << 20, false: 8 * (i % 7)}[i == 100]))
		w.enhanced(0, micros(f.At), f)
	})},
	{name: "pcapng, statistics and names between", files: inNg(le, nil, func(w *ng, i int, f audit.Frame) {
		w.enhanced(0, micros(f.At), f)
		w.block(5, w.u32(0), w.u64(0)).block(4, w.u16(0), w.u16(0)).block(0x40000BAD, w.u32(32473))
	})},
	{name: "pcapng, options behind each packet", files: inNg(le, nil, func(w *ng, _ int, f audit.Frame) {
		at := micros(f.At)
		w.block(ngEnhanced, w.u32(0), w.u32(int(at>>32)), w.u32(int(at&0xFFFFFFFF)), w.u32(len(f.Data)), w.u32(f.OrigLen), padded(f.Data),
			w.option(1, []byte("a comment")), w.option(2, w.u32(1)), w.option(0, nil))
	})},
	{name: "pcapng, a section for every ten frames, in either byte order", files: one(func(c Capture) []byte {
		var out []byte
		for i := 0; i < len(c); i += 10 {
			order := []byteOrder{le, be}[i/10%2]
			out = append(out, ngOf(c[i:min(i+10, len(c))], order, nil, inMicros)...)
		}
		return out
	})},
	{name: "pcapng, a snap length below the frames", files: one(func(c Capture) []byte {
		w := newNg(le, 0).iface(audit.Ethernet, 64)
		for i, f := range c {
			inMicros(w, i, f)
		}
		return w.out
	})},
	{name: "pcapng, another interface of USB", odd: "link type 189 (USB)", other: 2, files: one(func(c Capture) []byte {
		w := newNg(le, 0).iface(audit.Ethernet, 0).iface(189, 0)
		for i, f := range c {
			inMicros(w, i, f)
			if i == 99 {
				w.enhanced(1, micros(f.At), audit.Frame{Data: make([]byte, 64), OrigLen: 64})
			}
		}
		return w.out
	})},
	{name: "pcapng, interfaces of two link types", wrap: "", files: one(func(c Capture) []byte {
		w := newNg(le, 0).iface(audit.Ethernet, 0).iface(audit.LinuxSLLv2, 0)
		sll := cooked(20, 0)
		for i, f := range c {
			iface := i % 2
			if iface == 1 {
				f.Data = sll(f.Data)
				f.OrigLen = len(f.Data)
			}
			w.enhanced(iface, micros(f.At), f)
		}
		return w.out
	})},

	{name: "raw IP", files: onePcap(audit.RawIP, linked())},
	{name: "raw IP by the number of BSD", files: onePcap(rawIPBSD, linked())},
	{name: "raw IP by the number of OpenBSD", files: onePcap(rawIPOpen, linked())},
	{name: "raw IPv4", files: onePcap(audit.RawIPv4, linked())},
	{name: "BSD loopback", files: onePcap(audit.Null, linked(2, 0, 0, 0))},
	{name: "BSD loopback of a big-endian machine", files: onePcap(audit.Null, linked(0, 0, 0, 2))},
	{name: "OpenBSD loopback", files: onePcap(audit.Loop, linked(0, 0, 0, 2))},
	{name: "Linux cooked capture", files: onePcap(audit.LinuxSLL, cooked(16, 14))},
	{name: "Linux cooked capture v2", files: onePcap(audit.LinuxSLLv2, cooked(20, 0))},
	{name: "Linux cooked capture of a VLAN", wrap: "802.1Q", files: onePcap(audit.LinuxSLL, func(b []byte) []byte {
		return cooked(16, 14)(tagged(0x81, 0, 0, 9)(b))
	})},
	{name: "ERF, Ethernet", wrap: "ERF", files: onePcap(audit.ERF, func(b []byte) []byte { return erfOf(erfEthernet, 0, []byte{0, 0}, b) })},
	{name: "ERF, Ethernet behind two extensions", wrap: "ERF", files: onePcap(audit.ERF, func(b []byte) []byte {
		return erfOf(erfEthernet, 2, []byte{0, 0}, b)
	})},
	{name: "ERF, IPv4", wrap: "ERF", files: onePcap(audit.ERF, func(b []byte) []byte {
		if ip := ipOf(b); ip != nil {
			return erfOf(erfIPv4, 0, ip)
		}
		return nil
	})},
	{name: "ERF, InfiniBand", wrap: "ERF, InfiniBand", other: no, files: onePcap(audit.ERF, func(b []byte) []byte {
		if ib := infiniBandOf(b); ib != nil {
			return erfOf(erfInfiniBand, 0, ib)
		}
		return nil
	})},
	{name: "InfiniBand", wrap: "InfiniBand", other: no, files: onePcap(audit.InfiniBand, infiniBandOf)},
	{name: "InfiniBand within a subnet", wrap: "InfiniBand", other: no, files: onePcap(audit.InfiniBand, localOf)},
	{name: "RoCEv1", wrap: "RoCEv1", other: no, files: onePcap(audit.Ethernet, roceV1)},
	{name: "RoCEv1 in a VLAN", wrap: "802.1Q, RoCEv1", other: no, files: onePcap(audit.Ethernet, func(b []byte) []byte {
		if v1 := roceV1(b); v1 != nil {
			return tagged(0x81, 0, 0, 9)(v1)
		}
		return nil
	})},

	{name: "802.1Q", wrap: "802.1Q", files: onePcap(audit.Ethernet, tagged(0x81, 0, 0, 9))},
	{name: "802.1ad", wrap: "802.1ad", files: onePcap(audit.Ethernet, tagged(0x88, 0xA8, 0, 9))},
	{name: "802.1Q in 802.1ad", wrap: "802.1ad, 802.1Q", files: onePcap(audit.Ethernet, tagged(0x88, 0xA8, 0, 9, 0x81, 0, 0, 8))},
	{name: "802.1Q in 802.1Q", wrap: "802.1Q, 802.1Q", files: onePcap(audit.Ethernet, tagged(0x81, 0, 0, 9, 0x81, 0, 0, 8))},
	{name: "802.1Q in a VLAN of type 0x9100", wrap: "VLAN 0x9100, 802.1Q", files: onePcap(audit.Ethernet, tagged(0x91, 0, 0, 9, 0x81, 0, 0, 8))},
	{name: "VLAN of type 0x9200", wrap: "VLAN 0x9100", files: onePcap(audit.Ethernet, tagged(0x92, 0, 0, 9))},
	{name: "VLANs five deep", wrap: "802.1Q, 802.1Q, 802.1Q, 802.1Q, 802.1Q",
		files: onePcap(audit.Ethernet, tagged(bytes.Repeat([]byte{0x81, 0, 0, 9}, 5)...))},
	{name: "802.1ah", wrap: "802.1ah", files: onePcap(audit.Ethernet, func(b []byte) []byte { return ethernetOf(etherBackbone, []byte{0, 0, 0, 7}, b) })},
	{name: "VN-Tag", wrap: "VN-Tag", files: onePcap(audit.Ethernet, tagged(0x89, 0x26, 0, 1, 0, 2))},
	{name: "802.1BR", wrap: "802.1BR", files: onePcap(audit.Ethernet, tagged(0x89, 0x3F, 0, 1, 0, 2, 0, 0))},
	{name: "802.1CB", wrap: "802.1CB", files: onePcap(audit.Ethernet, tagged(0xF1, 0xC1, 0, 0, 0, 2))},
	{name: "SNAP", wrap: "SNAP", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return slices.Concat(b[:12], []byte{0, 0x60, 0xAA, 0xAA, 3, 0, 0, 0}, b[12:])
	})},
	{name: "PPPoE", wrap: "PPPoE", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		if ip := ipOf(b); ip != nil {
			return ethernetOf(etherPPPoE, []byte{0x11, 0, 0, 1, byte((len(ip) + 2) >> 8), byte(len(ip) + 2), 0, 0x21}, ip)
		}
		return nil
	})},
	{name: "MPLS, an IP packet behind two labels", wrap: "MPLS", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		if ip := ipOf(b); ip != nil {
			return ethernetOf(etherMPLS, []byte{0, 1, 0, 64, 0, 2, 1, 64}, ip)
		}
		return nil
	})},
	{name: "MPLS, a pseudowire", wrap: "MPLS", files: onePcap(audit.Ethernet, func(b []byte) []byte { return ethernetOf(etherMPLS, []byte{0, 1, 1, 64}, b) })},
	{name: "MPLS, a pseudowire with control word", wrap: "MPLS", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return ethernetOf(etherMPLS, []byte{0, 1, 1, 64, 0, 0, 0, 5}, b)
	})},
	{name: "MPLS in UDP", wrap: "MPLS", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portMPLSinUDP, []byte{0, 1, 1, 64}, b))
	})},
	{name: "IPv4 in IPv4", wrap: "IPv4", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte { return outerIPv4(protocolIPv4, ip) }))},
	{name: "IPv4 in IPv6 behind extension headers", wrap: "IPv4", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv6([]byte{0, 60}, protocolIPv4, ip)
	}))},
	{name: "GRE", wrap: "GRE", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte { return outerIPv4(protocolGRE, []byte{0, 0, 8, 0}, ip) }))},
	{name: "GRE with checksum, key and number", wrap: "GRE", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0xB0, 0, 8, 0}, make([]byte, 12), ip)
	}))},
	{name: "GRE in UDP", wrap: "GRE", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portGREinUDP, []byte{0, 0, 8, 0}, ip))
	}))},
	{name: "bridged GRE, which NVGRE is", wrap: "bridged GRE", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x20, 0, 0x65, 0x58, 0, 0, 7, 0}, b)
	})},
	{name: "MPLS in GRE", wrap: "GRE, MPLS", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0, 0, 0x88, 0x47, 0, 1, 1, 64}, b)
	})},
	{name: "EtherIP", wrap: "EtherIP", files: onePcap(audit.Ethernet, func(b []byte) []byte { return outerIPv4(protocolEtherIP, []byte{0x30, 0}, b) })},
	{name: "ERSPAN I", wrap: "ERSPAN I", files: onePcap(audit.Ethernet, func(b []byte) []byte { return outerIPv4(protocolGRE, []byte{0, 0, 0x88, 0xBE}, b) })},
	{name: "ERSPAN II", wrap: "ERSPAN II", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x88, 0xBE, 0, 0, 0, 7}, []byte{0x10, 1, 0, 1, 0, 0, 0, 5}, b)
	})},
	{name: "ERSPAN II over IPv6", wrap: "ERSPAN II", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv6(nil, protocolGRE, []byte{0x10, 0, 0x88, 0xBE, 0, 0, 0, 7}, []byte{0x10, 1, 0, 1, 0, 0, 0, 5}, b)
	})},
	{name: "ERSPAN III", wrap: "ERSPAN III", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x22, 0xEB, 0, 0, 0, 7}, []byte{0x20, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0}, b)
	})},
	{name: "ERSPAN III, platform specific", wrap: "ERSPAN III", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x22, 0xEB, 0, 0, 0, 7}, []byte{0x20, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1}, make([]byte, 8), b)
	})},
	{name: "ERSPAN III of an IP packet", wrap: "ERSPAN III", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x22, 0xEB, 0, 0, 0, 7}, []byte{0x20, 1, 0, 1, 0, 0, 0, 5, 0, 0, 2 << 2, 0}, ip)
	}))},
	{name: "VXLAN", wrap: "VXLAN", files: onePcap(audit.Ethernet, inVXLANof(portVXLAN))},
	{name: "VXLAN on the old port", wrap: "VXLAN", files: onePcap(audit.Ethernet, inVXLANof(portOldVXLAN))},
	{name: "VXLAN over IPv6 in a VLAN", wrap: "802.1Q, VXLAN", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return tagged(0x81, 0, 0, 9)(outerIPv6(nil, protocolUDP, outerUDP(portVXLAN, []byte{8, 0, 0, 0, 0, 0, 7, 0}, b)))
	})},
	{name: "802.1Q in VXLAN", wrap: "VXLAN, 802.1Q", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return inVXLANof(portVXLAN)(tagged(0x81, 0, 0, 9)(b))
	})},
	{name: "VXLAN-GPE", wrap: "VXLAN-GPE", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portVXLANGPE, []byte{12, 0, 0, 3, 0, 0, 7, 0}, b))
	})},
	{name: "VXLAN-GPE of an IP packet", wrap: "VXLAN-GPE", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portVXLANGPE, []byte{12, 0, 0, 1, 0, 0, 7, 0}, ip))
	}))},
	{name: "Geneve with options", wrap: "Geneve", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portGeneve, []byte{2, 0, 0x65, 0x58, 0, 0, 7, 0}, make([]byte, 8), b))
	})},
	{name: "Geneve of an IP packet", wrap: "Geneve", files: onePcap(audit.Ethernet, inIP(func(ip []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(portGeneve, []byte{0, 0, 8, 0, 0, 0, 7, 0}, ip))
	}))},
	{name: "VXLAN mirrored by ERSPAN II", wrap: "ERSPAN II, VXLAN", files: onePcap(audit.Ethernet, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x88, 0xBE, 0, 0, 0, 7}, []byte{0x10, 1, 0, 1, 0, 0, 0, 5}, inVXLANof(portVXLAN)(b))
	})},
}

// doubled are ways in which each frame is in a capture several times.
var doubled = []encoding{
	{name: "twice at once, as by a mirror of both ports", times: 2, files: inClassic2(5*time.Microsecond, same, same)},
	{name: "plain, and mirrored by ERSPAN II", times: 2, files: inClassic2(300*time.Microsecond, same, func(b []byte) []byte {
		return outerIPv4(protocolGRE, []byte{0x10, 0, 0x88, 0xBE, 0, 0, 0, 7}, []byte{0x10, 1, 0, 1, 0, 0, 0, 5}, b)
	})},
	{name: "plain, and in VXLAN on the underlay", times: 2, files: inClassic2(20*time.Microsecond, same, inVXLANof(portVXLAN))},
	{name: "with its VLAN tag and without", times: 2, files: inClassic2(2*time.Microsecond, tagged(0x81, 0, 0, 9), same)},
	{name: "on three interfaces, as by pktmon", times: 3, files: one(func(c Capture) []byte {
		w := newNg(le, 0)
		for _, name := range []string{"port", "filter", "stack"} {
			w.iface(audit.Ethernet, 0, w.option(ngOptionName, []byte(name)))
		}
		for _, f := range c {
			for iface := range 3 {
				w.enhanced(iface, micros(f.At), f)
			}
		}
		return w.out
	})},
	{name: "on a bond and its port, cooked", times: 2, files: one(func(c Capture) []byte {
		sll := cooked(20, 0)
		var twice Capture
		for _, f := range c {
			for iface := range 2 {
				g := f
				g.Data = sll(f.Data)
				g.OrigLen, g.Data[7] = len(g.Data), byte(iface+2)
				g.At = f.At.Add(time.Duration(iface) * 400 * time.Microsecond)
				twice = append(twice, g)
			}
		}
		slices.SortStableFunc(twice, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
		return classic{link: uint32(audit.LinuxSLLv2)}.write(twice)
	})},
	{name: "in two files, one of a mirror", times: 2, files: func(c Capture) [][]byte {
		return [][]byte{classic{}.write(c), classic{}.write(wrapped(c, inVXLANof(portVXLAN)))}
	}},
	{name: "in two files that are the same", times: 2, files: func(c Capture) [][]byte { return [][]byte{classic{}.write(c), classic{}.write(c)} }},
}

func same(frame []byte) []byte { return frame }

// inClassic2 writes each frame twice, the second time later and wrapped in another way.
func inClassic2(later time.Duration, first, second func([]byte) []byte) func(Capture) [][]byte {
	return func(c Capture) [][]byte {
		again := wrapped(c, second)
		for i := range again {
			again[i].At = again[i].At.Add(later)
		}
		both := append(wrapped(c, first), again...)
		slices.SortStableFunc(both, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
		return [][]byte{classic{}.write(both)}
	}
}

// Doubled has each frame of a capture several times: what is captured twice was on the wire once.
func (j Judge) Doubled(t *testing.T, base Capture) {
	base = base.Arrived()
	plain := j.judgedBytes(t, classic{}.write(base))
	for _, e := range doubled {
		t.Run(e.name, func(t *testing.T) {
			report := j.judgedBytes(t, e.files(base)...)
			if diff := cmp.Diff(Verdicts(plain), Verdicts(report)); diff != "" {
				t.Errorf("verdicts (-once +%d times):\n%s", e.times, diff)
			}
			want, got := plain.Counters, report.Counters
			if got.RoCE != want.RoCE*uint64(e.times) || got.Doubles != want.RoCE*uint64(e.times-1) {
				t.Errorf("%d packets, %d of them double; want %d, %d times", got.RoCE, got.Doubles, want.RoCE, e.times)
			}
			if got.Retransmitted != want.Retransmitted || got.Messages != want.Messages || got.Missing+got.Late != want.Missing+want.Late {
				t.Errorf("counters %+v, want those of %+v", got, want)
			}
		})
	}
}

func swap(a, b uint32) (uint32, uint32) { return b, a }

func unit(value byte) func(w *ng) [][]byte {
	return func(w *ng) [][]byte {
		return [][]byte{w.option(2, []byte("rail")), w.option(ngOptionUnit, []byte{value}), w.option(0, nil)}
	}
}

func inIP(wrap func(ip []byte) []byte) func([]byte) []byte {
	return func(frame []byte) []byte {
		if ip := ipOf(frame); ip != nil {
			return wrap(ip)
		}
		return nil
	}
}

func inVXLANof(port int) func([]byte) []byte {
	return func(b []byte) []byte {
		return outerIPv4(protocolUDP, outerUDP(port, []byte{8, 0, 0, 0, 0, 0, 7, 0}, b))
	}
}

func changed32(b []byte, at int, value uint32) []byte {
	b = bytes.Clone(b)
	le.PutUint32(b[at:], value)
	return b
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// written writes captures to files and names them.
func written(tb testing.TB, captures ...[]byte) []string {
	tb.Helper()
	dir := tb.TempDir()
	var names []string
	for i, data := range captures {
		name := filepath.Join(dir, string(rune('a'+i))+".pcap")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			tb.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// Encodings has one capture in every kind of file, link and tunnel: the verdicts are the same. The capture must show that some
// clauses hold, so many. Its second packet of another protocol is none.
func (j Judge) Encodings(t *testing.T, base Capture, passes int) {
	plain := j.judgedBytes(t, classic{}.write(base))
	want := Verdicts(plain)
	if n := count(want, verdict.Pass); n != passes {
		t.Fatalf("%d clauses hold in the plain capture, want %d", n, passes)
	}
	for _, e := range encodings {
		t.Run(e.name, func(t *testing.T) {
			report := j.judgedBytes(t, e.files(base)...)
			if diff := cmp.Diff(want, Verdicts(report)); diff != "" {
				t.Errorf("verdicts (-plain +this):\n%s", diff)
			}
			others := map[int]int{0: 1, no: 0, 2: 2}[e.other]
			if c := report.Counters; c.RoCE != plain.Counters.RoCE || c.Other != uint64(others) || c.Corrupted+c.Foreign+c.Unverified > 0 {
				t.Errorf("counters %+v", c)
			}
			e.checkContents(t, report)
		})
	}
}

func (e encoding) checkContents(t *testing.T, report *audit.Report) {
	t.Helper()
	switch list := report.Contents.Wrapped; {
	case e.wrap == "" && len(list) > 0:
		t.Errorf("wrapped in %v", list)
	case e.wrap != "" && (len(list) != 1 || list[0] != audit.Count{What: e.wrap, Count: report.Counters.RoCE}):
		t.Errorf("wrapped in %v, want all in %s", list, e.wrap)
	}
	if e.odd != "" && !strings.Contains(report.Contents.Sentence(), e.odd) {
		t.Errorf("no %q in %q", e.odd, report.Contents.Sentence())
	}
}

func count[K comparable](found map[K]verdict.Verdict, v verdict.Verdict) int {
	n := 0
	for _, got := range found {
		if got == v {
			n++
		}
	}
	return n
}
