// SPDX-License-Identifier: Apache-2.0

package roce

// GSIQKey is the queue key of queue pair 1, where management datagrams go.
const GSIQKey uint32 = 0x80010000

// DETH is the datagram extended transport header (InfiniBand Architecture
// Specification, volume 1, chapter 9.3).
type DETH struct {
	QKey     uint32 // queue key
	Reserved uint8  // byte 4
	SrcQP    uint32 // 24 bits: source queue pair number
}

// Decode decodes the first DETHLen bytes; the rest is the payload.
func (d *DETH) Decode(data []byte) error {
	if err := need(data, "DETH", DETHLen); err != nil {
		return err
	}
	d.QKey, d.Reserved, d.SrcQP = be.Uint32(data), data[4], uint24(data[5:])
	return nil
}

// Put writes the header at the beginning of b.
func (d *DETH) Put(b []byte) {
	be.PutUint32(b, d.QKey)
	b[4] = d.Reserved
	putUint24(b[5:], d.SrcQP)
}

// Kind gives ExtDETH.
func (d *DETH) Kind() Ext { return ExtDETH }

// Len gives DETHLen.
func (d *DETH) Len() int { return DETHLen }

// IsGSI reports whether a datagram is for the general service interface.
func IsGSI(b *BTH, d *DETH) bool { return b.DestQP == GSIQPN && d.QKey == GSIQKey }
