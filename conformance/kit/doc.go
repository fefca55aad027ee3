// SPDX-License-Identifier: Apache-2.0

// Package kit is what every spec is made with, whatever its protocol: two hosts, files on them, block devices with stamped
// blocks, a prober that never stops asking, faults, bounds, guards and evidence.
//
// A spec works with a [Testbed]: its methods fail the spec themselves when something goes wrong that is not what the spec is
// about. What is under test stands on its hosts as [Subjects]; each protocol has its own, made of the testbed and of its
// implementations, and hands them to the kit as a [Protocol]. Specs get them by [Current], through their protocol's package.
// Everything that a spec makes through the testbed or the subjects (open disks, faults, probes, exports, mappings) is taken down
// after it, whatever its end.
//
// Around each spec stand guards that no spec can leave out: kernel logs without a warning or a gap, RDMA resources back at
// their baseline, no device left. Packets, kernel logs and sysfs of a failed spec are kept as evidence.
//
// [Configure] says what is under test; it is called once, before the suite runs.
package kit
