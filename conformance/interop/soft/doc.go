// SPDX-License-Identifier: Apache-2.0

// Package soft proves that the provider soft, RoCEv2 in pure Go, and Linux soft-RoCE understand each other: programs of a guest on
// a rail of the lab talk to devices of this process on the same rail.
//
// It has no code but its tests, which need the lab: go test -tags lab ./conformance/interop/soft.
package soft
