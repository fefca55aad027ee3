// SPDX-License-Identifier: Apache-2.0

// Package kit is what every spec is made with: the pair of subjects, hands on their machines, devices with stamped blocks, a
// prober that never stops asking, faults, bounds, guards and evidence.
//
// A spec gets its [Pair] from [Current]. The pair's methods fail the spec themselves when something goes wrong that is not
// what the spec is about; what a spec is about it asks of [Pair.Initiator], [Pair.Target], [Pair.Client] or [Pair.Server] and
// judges with Gomega. Everything that a spec makes through the pair (exports, mappings, open disks, faults, probes) is taken
// down after it, whatever its end.
//
// Around each spec stand guards that no spec can leave out: kernel logs without a warning or a gap, RDMA resources back at
// their baseline, no device left. Packets, kernel logs and sysfs of a failed spec are kept as evidence.
//
// [Configure] says what is under test; it is called once, before the suite runs.
package kit
