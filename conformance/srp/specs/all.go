// SPDX-License-Identifier: Apache-2.0

// Package specs gathers all specs of SRP: a program that imports it can run them.
package specs

import (
	_ "github.com/ibnbd/ibnbd/conformance/srp/specs/failover" // an initiator loses its target, and gets it back
	_ "github.com/ibnbd/ibnbd/conformance/srp/specs/sysfs"    // what an administrator sees and writes
	_ "github.com/ibnbd/ibnbd/conformance/srp/specs/target"   // what initiators do to a target that it must endure
)
