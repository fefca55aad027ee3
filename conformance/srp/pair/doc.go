// SPDX-License-Identifier: Apache-2.0

// Package pair is what the specs of SRP in a lab are made with: the testbed of package kit, with a target and an initiator on it.
//
// A spec gets its [Pair] from [Current]. What it connects is taken down after it.
package pair
