// SPDX-License-Identifier: Apache-2.0

package image

import _ "embed"

// GuestConfig is the fragment of a kernel's configuration with all that guests need: what `kernel config` prints.
//
//go:embed config/guest.config
var GuestConfig string

// DebugConfig is the fragment that is added to it for the kernel "debug".
//
//go:embed config/debug.config
var DebugConfig string
