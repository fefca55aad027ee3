// SPDX-License-Identifier: Apache-2.0

// Package pair is what the specs of IBNBD over IBTRS are made with: the testbed of package kit, with a target and an initiator
// on it.
//
// A spec gets its [Pair] from [Current]. What a spec is about it asks of [Pair.Initiator], [Pair.Target], [kit.Testbed.Client] or
// [kit.Testbed.Server] and judges with Gomega; the pair's own methods make what a spec needs besides (exports, mappings, paths, a
// target with other options) and fail the spec themselves. All of that is taken down after the spec.
//
// [Protocol] is what package kit has to know of these subjects.
package pair
