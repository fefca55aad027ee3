// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"fmt"
	"strings"
)

// MaxName is the length in bytes of the longest text a [Name] can carry: 255 less the NUL that ends it.
const MaxName = 254

// Name is the text field of 255 bytes of IBTRS (session name) and IBNBD (device path): text, a NUL, zeros. Any bytes
// fit in it, also illegal ones; [Name.Terminated] tells.
type Name [MaxName + 1]byte

// NewName returns the field for s. It fails if s is longer than MaxName or holds a NUL.
func NewName(s string) (n Name, err error) {
	if len(s) > MaxName {
		return n, fmt.Errorf("name %.32q... has %d bytes, at most %d fit: %w", s, len(s), MaxName, ErrValue)
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return n, fmt.Errorf("name %q holds a NUL at byte %d: %w", s, i, ErrValue)
	}
	copy(n[:], s)
	return n, nil
}

// Terminated reports whether a NUL ends the text inside the field.
func (n *Name) Terminated() bool { return bytes.IndexByte(n[:], 0) >= 0 }

// Bytes returns the text without its NUL, as a part of the field; all 255 bytes if there is no NUL.
func (n *Name) Bytes() []byte {
	if i := bytes.IndexByte(n[:], 0); i >= 0 {
		return n[:i]
	}
	return n[:]
}

// String returns a copy of the text.
func (n Name) String() string { return string(n.Bytes()) }

// Check reports what the receiver of a name refuses: no NUL inside the field, or no text at all. Message, field and
// offset go into the error.
func (n *Name) Check(message, field string, offset int) error {
	if !n.Terminated() {
		return Illegal(message, field, offset, string(n[:16])+"...", "ended by a NUL within 255 bytes")
	}
	if n[0] == 0 {
		return Illegal(message, field, offset, "", "at least 1 character")
	}
	return nil
}
