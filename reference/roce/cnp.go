// SPDX-License-Identifier: Apache-2.0

package roce

// CNPReserved is the 16 reserved bytes of a congestion notification packet,
// zero from a conforming sender (RoCEv2 annex A17).
type CNPReserved struct {
	Reserved [CNPReservedLen]byte
}

// Decode decodes the first CNPReservedLen bytes; the rest is the payload.
func (c *CNPReserved) Decode(data []byte) error {
	if err := need(data, "CNP", CNPReservedLen); err != nil {
		return err
	}
	copy(c.Reserved[:], data)
	return nil
}

// Put writes the header at the beginning of b.
func (c *CNPReserved) Put(b []byte) {
	copy(b, c.Reserved[:])
}

// Kind gives ExtCNP.
func (c *CNPReserved) Kind() Ext { return ExtCNP }

// Len gives CNPReservedLen.
func (c *CNPReserved) Len() int { return CNPReservedLen }
