// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Writers of capture files in all their kinds, and of frames in all that they are wrapped in. Every field of a file can be what
// no sound program would write.

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// classic is how a classic capture is written. The zero value is what tcpdump writes, with nanoseconds.
type classic struct {
	order        byteOrder
	magic        uint32
	major, minor uint16
	snap         uint32
	link         uint32
	extra        int // bytes more in each record header
	lengths      func(captured, length uint32) (first, second uint32)
	trailer      []byte // behind the bytes of each frame, captured and not counted in its length
}

func (c classic) write(frames Capture) []byte {
	if c.order == nil {
		c.order = binary.LittleEndian
	}
	if c.magic == 0 {
		c.magic = pcapNanoMagic
	}
	if c.major == 0 {
		c.major, c.minor = 2, 4
	}
	if c.snap == 0 {
		c.snap = 262144
	}
	if c.link == 0 {
		c.link = uint32(audit.Ethernet)
	}
	var b []byte
	b = c.order.AppendUint32(b, c.magic)
	b = c.order.AppendUint16(b, c.major)
	b = c.order.AppendUint16(b, c.minor)
	b = append(b, make([]byte, 8)...)
	b = c.order.AppendUint32(b, c.snap)
	b = c.order.AppendUint32(b, c.link)
	for _, f := range frames {
		b = c.record(b, f)
	}
	return b
}

func (c classic) record(b []byte, f audit.Frame) []byte {
	fraction := uint32(f.At.Nanosecond())
	if c.magic != pcapNanoMagic {
		fraction /= 1000
	}
	first, second := uint32(len(f.Data)+len(c.trailer)), uint32(f.OrigLen)
	if c.lengths != nil {
		first, second = c.lengths(first, second)
	}
	for _, v := range []uint32{uint32(f.At.Unix()), fraction, first, second} {
		b = c.order.AppendUint32(b, v)
	}
	b = append(b, make([]byte, c.extra)...)
	return append(append(b, f.Data...), c.trailer...)
}

// ng writes a pcapng file block by block.
type ng struct {
	order byteOrder
	out   []byte
}

func (w *ng) u16(v int) []byte    { return w.order.AppendUint16(nil, uint16(v)) }
func (w *ng) u32(v int) []byte    { return w.order.AppendUint32(nil, uint32(v)) }
func (w *ng) u64(v uint64) []byte { return w.order.AppendUint64(nil, v) }

func padded(b []byte) []byte { return append(bytes.Clone(b), make([]byte, -len(b)&3)...) }

// block appends a block of a kind.
func (w *ng) block(kind int, parts ...[]byte) *ng {
	body := padded(slices.Concat(parts...))
	length := w.u32(len(body) + 12)
	w.out = slices.Concat(w.out, w.u32(kind), length, body, length)
	return w
}

// option is an option of a block.
func (w *ng) option(code int, value []byte) []byte {
	return slices.Concat(w.u16(code), w.u16(len(value)), padded(value))
}

func newNg(order byteOrder, minor int) *ng {
	w := &ng{order: order}
	return w.section(minor)
}

func (w *ng) section(minor int) *ng {
	return w.block(ngSection, w.u32(ngByteOrder), w.u16(1), w.u16(minor), w.u64(^uint64(0)), w.option(4, []byte("any program")))
}

func (w *ng) iface(link audit.Link, snap int, options ...[]byte) *ng {
	return w.block(ngInterface, w.u16(int(link)), w.u16(0), w.u32(snap), slices.Concat(options...))
}

func (w *ng) enhanced(iface int, units uint64, f audit.Frame) *ng {
	return w.block(ngEnhanced, w.u32(iface), w.u32(int(units>>32)), w.u32(int(units&0xFFFFFFFF)), w.u32(len(f.Data)), w.u32(f.OrigLen), padded(f.Data))
}

func (w *ng) obsolete(iface int, units uint64, f audit.Frame) *ng {
	return w.block(ngPacket, w.u16(iface), w.u16(0xFFFF), w.u32(int(units>>32)), w.u32(int(units&0xFFFFFFFF)), w.u32(len(f.Data)), w.u32(f.OrigLen), padded(f.Data))
}

func (w *ng) simple(f audit.Frame) *ng { return w.block(ngSimple, w.u32(f.OrigLen), padded(f.Data)) }

func micros(at time.Time) uint64 { return uint64(at.UnixMicro()) }

// ngOf writes frames with a function for each of them behind one section and one interface.
func ngOf(frames Capture, order byteOrder, options func(*ng) [][]byte, write func(w *ng, i int, f audit.Frame)) []byte {
	w := newNg(order, 0)
	var all [][]byte
	if options != nil {
		all = options(w)
	}
	w.iface(audit.Ethernet, 0, all...)
	for i, f := range frames {
		write(w, i, f)
	}
	return w.out
}

// snoopOf writes frames as snoop does.
func snoopOf(frames Capture) []byte {
	b := append([]byte(snoopMagic), 0, 0, 0, 2, 0, 0, 0, 4)
	for _, f := range frames {
		pad := -len(f.Data) & 3
		for _, v := range []int{f.OrigLen, len(f.Data), 24 + len(f.Data) + pad, 0, int(f.At.Unix()), f.At.Nanosecond() / 1000} {
			b = be.AppendUint32(b, uint32(v))
		}
		b = append(append(b, f.Data...), make([]byte, pad)...)
	}
	return b
}

// wrapped puts every frame into something; nil leaves it out.
func wrapped(frames Capture, wrap func(frame []byte) []byte) Capture {
	var list Capture
	for _, f := range frames {
		data := wrap(f.Data)
		if data == nil {
			continue
		}
		f.OrigLen += len(data) - len(f.Data)
		f.Data = data
		list = append(list, f)
	}
	return list
}

// ipOf is the IP packet in a frame, nil if there is none.
func ipOf(frame []byte) []byte {
	if kind := be.Uint16(frame[12:]); kind != etherIPv4 && kind != etherIPv6 {
		return nil
	}
	return frame[14:]
}

// tagged puts something between the addresses and the EtherType.
func tagged(tag ...byte) func([]byte) []byte {
	return func(frame []byte) []byte { return slices.Concat(frame[:12], tag, frame[12:]) }
}

// linked puts something in the place of the addresses and the EtherType of a frame with an IP packet.
func linked(header ...byte) func([]byte) []byte {
	return func(frame []byte) []byte {
		ip := ipOf(frame)
		if ip == nil {
			return nil
		}
		return slices.Concat(header, ip)
	}
}

// cooked puts a pseudo header in the place of the addresses, with the EtherType at an offset.
func cooked(length, at int) func([]byte) []byte {
	return func(frame []byte) []byte {
		header := make([]byte, length)
		copy(header[at:], frame[12:14])
		return append(header, frame[14:]...)
	}
}

var outerMACs = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}

// ethernetOf makes a frame around something.
func ethernetOf(etherType int, payload ...[]byte) []byte {
	return slices.Concat(outerMACs, be.AppendUint16(nil, uint16(etherType)), slices.Concat(payload...))
}

// outerIPv4 makes a frame with an IPv4 packet around something.
func outerIPv4(protocol byte, payload ...[]byte) []byte {
	body := slices.Concat(payload...)
	h := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	be.PutUint16(h[2:], uint16(len(h)+len(body)))
	return ethernetOf(etherIPv4, h, body)
}

// outerIPv6 makes a frame with an IPv6 packet around something, behind extension headers of 8 bytes each.
func outerIPv6(extensions []byte, protocol byte, payload ...[]byte) []byte {
	var ext []byte
	next := append(bytes.Clone(extensions), protocol)
	for _, n := range next[1:] {
		ext = append(ext, n, 0, 0, 0, 0, 0, 0, 0)
	}
	body := append(ext, slices.Concat(payload...)...)
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, next[0], 64
	be.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], []byte{0x20, 1, 0x0D, 0xB8, 15: 1})
	copy(h[24:], []byte{0x20, 1, 0x0D, 0xB8, 15: 2})
	return ethernetOf(etherIPv6, h, body)
}

func outerUDP(port int, payload ...[]byte) []byte {
	body := slices.Concat(payload...)
	h := []byte{0xC0, 0, byte(port >> 8), byte(port), 0, 0, 0, 0}
	be.PutUint16(h[4:], uint16(len(h)+len(body)))
	return append(h, body...)
}

// roceOf is the packet of RDMA in a frame, nil if there is none.
func roceOf(frame []byte) *roce.Packet {
	p := new(roce.Packet)
	if p.Decode(frame) != nil {
		return nil
	}
	return p
}

// routed gives what AppendGRH or AppendLRH makes of the packet in a frame.
func routed(frame []byte, appended func(*roce.Packet) ([]byte, error)) []byte {
	p := roceOf(frame)
	if p == nil {
		return nil
	}
	b, err := appended(p)
	if err != nil {
		panic(err)
	}
	return b
}

func roceV1(frame []byte) []byte {
	grh := routed(frame, func(p *roce.Packet) ([]byte, error) { return p.AppendGRH(nil) })
	if grh == nil {
		return nil
	}
	return slices.Concat(frame[:12], []byte{0x89, 0x15}, grh)
}

func infiniBandOf(frame []byte) []byte {
	return routed(frame, func(p *roce.Packet) ([]byte, error) { return p.AppendLRH(nil, 1, 2) })
}

// localOf is the same without a global route header: only the LIDs tell the ends apart.
func localOf(frame []byte) []byte {
	b := infiniBandOf(frame)
	if b == nil {
		return nil
	}
	const lrh, grh, vcrc = 8, 40, 2
	src, dst := b[lrh+23], b[lrh+39] // the last bytes of the GIDs
	b = slices.Concat(b[:lrh], b[lrh+grh:])
	b[1], b[3], b[7] = 2, dst, src
	be.PutUint16(b[4:], uint16((len(b)-vcrc)/4))
	var p roce.Packet
	if err := p.DecodeLRH(b); err != nil {
		panic(err)
	}
	resealed(b[:len(b)-vcrc])
	return b
}

// resealed computes the ICRC of a packet of an InfiniBand link without a global route header.
func resealed(b []byte) {
	masked := bytes.Clone(b[:len(b)-roce.ICRCLen])
	masked[0] |= 0xF0
	masked[8+4] = 0xFF
	binary.LittleEndian.PutUint32(b[len(b)-roce.ICRCLen:], crc(masked))
}

// erfOf puts something into a record of an Endace card; extensions are bytes that announce eight each.
func erfOf(kind byte, extensions int, payload ...[]byte) []byte {
	h := make([]byte, 16)
	h[8] = kind
	for i := range extensions {
		h[8] |= 0x80
		ext := make([]byte, 8)
		if i+1 < extensions {
			ext[0] = 0x80
		}
		h = append(h, ext...)
	}
	body := slices.Concat(payload...)
	be.PutUint16(h[10:], uint16(len(h)+len(body)))
	be.PutUint16(h[14:], uint16(len(body)))
	return append(h, body...)
}
