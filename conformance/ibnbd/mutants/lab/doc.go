// SPDX-License-Identifier: Apache-2.0

// Package lab has the mutants that need guests: implementations that behave, where something between them and the suite alters what
// the suite sees of them. The specs of the lab judge them.
//
//   - Files (block.go, transport.go; files.go): what the suite reads from sysfs, or is told when it writes there, is what a broken
//     module would show. Only calls of the operation and of the files that a mutant is about are altered, so that no other spec
//     can see it.
//   - Packets (packets.go; alter.go): a rail alters what one side sends or gets, as if that side said or took something else.
//   - Losses (wire.go): the RDMA provider below an implementation does not repeat what got lost, or does not end a connection.
//   - Arguments (programs.go): this project's client is started with others than the suite gives it.
//
// What mainline's implementations break as they are needs nothing altered (found.go). This project's pair, which keeps the clause, is
// then the control. Each row says which pair of implementations a mutant is made of.
package lab
