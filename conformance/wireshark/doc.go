// SPDX-License-Identifier: Apache-2.0

// Package wireshark holds a dissector for IBTRS and IBNBD (mainline: RTRS and RNBD) and for SRP over RDMA, in Lua, for
// people who look at captures with Wireshark or tshark. README.md tells how to use it.
//
// The dissector is the folder ibnbd. Its layouts.lua is generated from the layout tables of the Go packages ibtrs,
// ibnbd and srp, so that offsets, sizes, byte orders and names are written in one place; the other files are about
// what a table cannot say: which queue pair belongs to which session, where in a message the parts are, and which
// response answers which request.
//
// The Go side of this package is the generator, [WriteLayouts], and the tests: they fail when layouts.lua is stale, and
// run tshark on captures of mainline to compare what the dissector shows with what the Go parsers find.
package wireshark

//go:generate go run ./gen
