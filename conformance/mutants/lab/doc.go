// SPDX-License-Identifier: Apache-2.0

// Package lab has the mutants that need a kernel: implementations that behave, in guests whose files are altered on their way to
// the suite. What a user of such a machine would read from sysfs, or be told when writing to it, is what a broken module would
// show. The specs of the lab judge them.
//
// Beside them stand mutants of the RDMA provider below those modules (wire.go), which does not repeat what the wire has lost.
//
// A hop (hops.go) alters the calls of a file operation that a mutant is about, and leaves alone whatever else the suite asks of
// the guest, so that only specs about those files can see it. The tables (block.go, transport.go) are by who has the files.
package lab
