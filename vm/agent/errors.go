// SPDX-License-Identifier: Apache-2.0

package agent

import "errors"

// ErrLost says that the connection to the guest ended: its machine died, or the client was closed. What was asked for may
// have happened or not.
var ErrLost = errors.New("guest connection lost")
