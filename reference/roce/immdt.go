// SPDX-License-Identifier: Apache-2.0

package roce

// ImmDt is immediate data: four bytes for the consumer at the responder,
// by convention in network order.
type ImmDt struct {
	Value uint32
}

// Decode decodes the first ImmDtLen bytes; the rest is the payload.
func (i *ImmDt) Decode(data []byte) error {
	if err := need(data, "ImmDt", ImmDtLen); err != nil {
		return err
	}
	i.Value = be.Uint32(data)
	return nil
}

// Put writes the header at the beginning of b.
func (i *ImmDt) Put(b []byte) {
	be.PutUint32(b, i.Value)
}

// Kind gives ExtImmDt.
func (i *ImmDt) Kind() Ext { return ExtImmDt }

// Len gives ImmDtLen.
func (i *ImmDt) Len() int { return ImmDtLen }
