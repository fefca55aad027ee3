// SPDX-License-Identifier: Apache-2.0

// Package backend holds the block devices that a target exports: memory, a sparse file, a block device of the host.
//
// A [Backend] reads and writes whole logical blocks at byte offsets. What it can do beyond that, and what it promises
// about durability, stands in its [Properties]. [Check] is what a user of a backend calls before it: ranges that lie
// outside the device, or across its blocks, never reach one.
//
// [Parse] reads the words by which a person names a backend: mem:SIZE, file:PATH, file:PATH,SIZE or a path below /dev.
package backend
