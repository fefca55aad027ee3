// SPDX-License-Identifier: Apache-2.0

// Package lab has the mutants that guests are needed for: implementations that behave, behind hops which alter what the suite gets
// to see of them. The specs of the lab judge them.
//
//   - Files (block.go, transport.go; hops.go): what a user of a machine reads from sysfs, or is told when writing to it, is what a
//     broken module would show. A hop alters the calls of a file operation that a mutant is about, and leaves alone whatever else
//     the suite asks of the guest, so that only specs about those files can see it.
//   - Packets (packets.go; alter.go): a rail alters what one side sends or gets, as if that side said or took something else.
//   - Losses (wire.go): the RDMA provider below an implementation does not repeat what got lost, or does not end a connection.
//   - Arguments (programs.go): this project's client is started with others than the suite gives it.
//
// Mainline's implementations need no hop where they break a clause as they are (found.go): they are mutants that were
// found, and this project's pair, which keeps the clause, is their control. Each row says which pair a mutant is made of.
package lab
