// SPDX-License-Identifier: Apache-2.0

// Package suites gathers all specs: a program that imports it can run them. One package below it for each subject matter, and
// package kit for what they are made with.
package suites

import (
	_ "github.com/ibnbd/ibnbd/conformance/suites/failover"  // the wire and the server break under a running application
	_ "github.com/ibnbd/ibnbd/conformance/suites/ibnbd"     // the block protocol as a user of the disk meets it
	_ "github.com/ibnbd/ibnbd/conformance/suites/ibtrs"     // sessions, paths and policies
	_ "github.com/ibnbd/ibnbd/conformance/suites/initiator" // what servers do to an initiator that it must endure
	_ "github.com/ibnbd/ibnbd/conformance/suites/sysfs"     // what an administrator sees and writes
	_ "github.com/ibnbd/ibnbd/conformance/suites/target"    // what clients do to a target that it must endure
)
