// SPDX-License-Identifier: Apache-2.0

// Package verbs runs the tests of the provider verbs in guests of the lab, on Linux soft-RoCE, and between two of them.
//
// It has no code but its tests, which need the lab: go test -tags lab ./conformance/interop/verbs.
package verbs
