// SPDX-License-Identifier: Apache-2.0

// Package specs gathers all specs: a program that imports it can run them. One package below it for each subject matter, and
// package conformance/kit for what they are made with.
package specs

import (
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/block"     // the block protocol as a user of the disk meets it
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/failover"  // the wire and the server break under a running application
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/initiator" // what servers do to an initiator that it must endure
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/sysfs"     // what an administrator sees and writes
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/target"    // what clients do to a target that it must endure
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs/transport" // sessions, paths and policies
)
