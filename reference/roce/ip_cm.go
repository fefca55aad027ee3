// SPDX-License-Identifier: Apache-2.0

package roce

import "net/netip"

// IPCMLen is the length of an IPCM in bytes.
const IPCMLen = 36

// Values of the IP version field of an IPCM.
const (
	IPVersion4 uint8 = 4
	IPVersion6 uint8 = 6
)

// IPCM is the IP addressing information at the head of the private data of a
// REQ to the RDMA IP CM service (InfiniBand Architecture Specification, annex
// A11). The private data of the application follows, 56 bytes.
type IPCM struct {
	MajorVersion uint8    // 4 bits: 0
	MinorVersion uint8    // 4 bits: 0
	IPVersion    uint8    // 4 bits: 4 or 6
	Reserved     uint8    // 4 bits after it
	SrcPort      uint16   // RDMA CM port of the sender
	Src, Dst     [16]byte // addresses; IPv4 in the last 4 bytes, zeros before
}

// NewIPCM makes the addressing between two addresses of the same family.
func NewIPCM(src netip.AddrPort, dst netip.Addr) IPCM {
	return IPCM{
		IPVersion: ipVersion(src.Addr()),
		SrcPort:   src.Port(),
		Src:       ipCMAddr(src.Addr()),
		Dst:       ipCMAddr(dst),
	}
}

func ipVersion(a netip.Addr) uint8 {
	if a.Unmap().Is4() {
		return IPVersion4
	}
	return IPVersion6
}

// ipCMAddr gives the 16 bytes of an address; IPv4 has zeros in front, not the
// mapped form of a GID.
func ipCMAddr(a netip.Addr) (b [16]byte) {
	if a = a.Unmap(); a.Is4() {
		four := a.As4()
		copy(b[12:], four[:])
		return b
	}
	return GIDOf(a)
}

// SrcAddr gives the source address, read as the IP version field says; the zero
// Addr if that is neither 4 nor 6.
func (c *IPCM) SrcAddr() netip.Addr { return c.addr(c.Src) }

// DstAddr gives the destination address in the same way.
func (c *IPCM) DstAddr() netip.Addr { return c.addr(c.Dst) }

func (c *IPCM) addr(b [16]byte) netip.Addr {
	switch c.IPVersion {
	case IPVersion4:
		return netip.AddrFrom4([4]byte(b[12:]))
	case IPVersion6:
		return netip.AddrFrom16(b)
	}
	return netip.Addr{}
}

// Decode decodes the first 36 bytes; the rest is the payload.
func (c *IPCM) Decode(data []byte) error {
	if err := need(data, "IP CM", IPCMLen); err != nil {
		return err
	}
	c.MajorVersion, c.MinorVersion = data[0]>>4, data[0]&0x0F
	c.IPVersion, c.Reserved = data[1]>>4, data[1]&0x0F
	c.SrcPort = be.Uint16(data[2:])
	copy(c.Src[:], data[4:])
	copy(c.Dst[:], data[20:])
	return nil
}

// AppendPrivate appends the private data of a REQ: the addressing and the
// application's own data, at most 56 bytes.
func (c *IPCM) AppendPrivate(b, application []byte) ([]byte, error) {
	if len(application) > REQIPPrivateLen {
		return b, tooLong("IP CM", "private data length", len(application), REQIPPrivateLen)
	}
	at := len(b)
	b = append(b, make([]byte, IPCMLen)...)
	c.Put(b[at:])
	return append(b, application...), nil
}

// Len gives IPCMLen.
func (c *IPCM) Len() int { return IPCMLen }

// Put writes the header at the beginning of b.
func (c *IPCM) Put(b []byte) {
	b[0] = c.MajorVersion<<4 | c.MinorVersion&0x0F
	b[1] = c.IPVersion<<4 | c.Reserved&0x0F
	be.PutUint16(b[2:], c.SrcPort)
	copy(b[4:20], c.Src[:])
	copy(b[20:36], c.Dst[:])
}
