// SPDX-License-Identifier: Apache-2.0

// Package interop proves that the reference and mainline Linux understand each other where the reference has no kernel
// RDMA under it: a guest with RNBD on a rail of the lab, and the reference's client and server in this process, over the
// soft provider on a station of the same rail. The reference over verbs meets mainline in the conformance suites.
//
// It has no code but its tests, which need the lab: go test -tags lab ./conformance/ibnbd/interop.
package interop
