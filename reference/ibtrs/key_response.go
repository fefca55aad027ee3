// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// KeyResponseSize is the size of a KeyResponse on the wire, in bytes.
const KeyResponseSize = 8

// KeyResponse is the body of every response of a server with key refresh: a SEND with immediate of 8 bytes (Clause
// IBTRS-INV-002).
type KeyResponse struct {
	Type  uint16 // TypeKeyResponse
	Chunk uint16 // number of the chunk; equals the message id of the immediate
	RKey  uint32 // the chunk's key from now on; may be the old one
}

// AppendBinary appends the 8 bytes of the message. It never fails.
func (m KeyResponse) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, KeyResponseSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	binary.LittleEndian.PutUint16(p[2:], m.Chunk)
	binary.LittleEndian.PutUint32(p[4:], m.RKey)
	return b, nil
}

// ParseKeyResponse reads a key response and checks its type. A client recovers the path upon an error (Clauses
// IBTRS-INV-008, IBTRS-INV-009).
func ParseKeyResponse(b []byte) (m KeyResponse, err error) {
	if len(b) < KeyResponseSize {
		return m, layout.Short(keyResponseLayout.Title, len(b), KeyResponseSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	m.Chunk = binary.LittleEndian.Uint16(b[2:])
	m.RKey = binary.LittleEndian.Uint32(b[4:])
	if m.Type != TypeKeyResponse {
		err = layout.Illegal(keyResponseLayout.Title, "type", 0, m.Type, "4")
	}
	return m, err
}

// Check compares the response with the immediate it came with: the chunk must exist in g and be the one of the message
// id (Clause IBTRS-INV-010). Immediates that are no responses pass.
func (m KeyResponse) Check(g Geometry, i Immediate) error {
	if m.Chunk >= g.QueueDepth {
		return layout.Illegal(keyResponseLayout.Title, "chunk", 2, m.Chunk, "below the queue depth")
	}
	if id, _, _, ok := i.Response(); ok && id != uint32(m.Chunk) {
		return layout.Illegal(keyResponseLayout.Title, "chunk", 2, m.Chunk, "the message id of the immediate")
	}
	return nil
}
