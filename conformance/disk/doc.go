// SPDX-License-Identifier: Apache-2.0

// Package disk has disks that outlive the servers and the machines they are in. A [Volatile] is one with a write cache that its machine's
// power keeps: [Volatile.PowerLoss] takes it back to what was flushed, or written with FUA, so that a promise of durability
// that somebody did not keep is seen. [Serve] serves one on a Unix socket by the NBD protocol, for the Disks of a lab's spec.
package disk
