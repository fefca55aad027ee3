// SPDX-License-Identifier: Apache-2.0

package roce

// AETH is the ACK extended transport header of acknowledgements and of READ and
// atomic responses (InfiniBand Architecture Specification, volume 1, chapter
// 9.3).
type AETH struct {
	Syndrome Syndrome // what is acknowledged, or refused
	MSN      uint32   // 24 bits: message sequence number of the responder
}

// Decode decodes the first AETHLen bytes; the rest is the payload.
func (a *AETH) Decode(data []byte) error {
	if err := need(data, "AETH", AETHLen); err != nil {
		return err
	}
	a.Syndrome, a.MSN = Syndrome(data[0]), uint24(data[1:])
	return nil
}

// Put writes the header at the beginning of b.
func (a *AETH) Put(b []byte) {
	b[0] = byte(a.Syndrome)
	putUint24(b[1:], a.MSN)
}

// Kind gives ExtAETH.
func (a *AETH) Kind() Ext { return ExtAETH }

// Len gives AETHLen.
func (a *AETH) Len() int { return AETHLen }
