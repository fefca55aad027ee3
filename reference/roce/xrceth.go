// SPDX-License-Identifier: Apache-2.0

package roce

// XRCETH is the XRC extended transport header, which names the shared receive
// queue a request of an extended reliable connection is for (InfiniBand
// Architecture Specification, annex A14).
type XRCETH struct {
	Reserved uint8  // byte 0
	SRQ      uint32 // 24 bits: XRC shared receive queue number
}

// Decode decodes the first XRCETHLen bytes; the rest is the payload.
func (x *XRCETH) Decode(data []byte) error {
	if err := need(data, "XRCETH", XRCETHLen); err != nil {
		return err
	}
	x.Reserved, x.SRQ = data[0], uint24(data[1:])
	return nil
}

// Put writes the header at the beginning of b.
func (x *XRCETH) Put(b []byte) {
	b[0] = x.Reserved
	putUint24(b[1:], x.SRQ)
}

// Kind gives ExtXRCETH.
func (x *XRCETH) Kind() Ext { return ExtXRCETH }

// Len gives XRCETHLen.
func (x *XRCETH) Len() int { return XRCETHLen }
