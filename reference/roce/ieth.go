// SPDX-License-Identifier: Apache-2.0

package roce

// IETH is the invalidate extended transport header: the remote key that the
// responder invalidates after it has placed the SEND.
type IETH struct {
	RKey uint32
}

// Decode decodes the first IETHLen bytes; the rest is the payload.
func (i *IETH) Decode(data []byte) error {
	if err := need(data, "IETH", IETHLen); err != nil {
		return err
	}
	i.RKey = be.Uint32(data)
	return nil
}

// Put writes the header at the beginning of b.
func (i *IETH) Put(b []byte) {
	be.PutUint32(b, i.RKey)
}

// Kind gives ExtIETH.
func (i *IETH) Kind() Ext { return ExtIETH }

// Len gives IETHLen.
func (i *IETH) Len() int { return IETHLen }
