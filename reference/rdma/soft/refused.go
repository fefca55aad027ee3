// SPDX-License-Identifier: Apache-2.0

package soft

import "github.com/ibnbd/ibnbd/reference/roce"

// refusedError says that a request of the peer was refused with a fatal NAK.
type refusedError struct {
	code roce.NAKCode
}

func (e *refusedError) Error() string { return "a request of the peer was refused: " + e.code.String() }
