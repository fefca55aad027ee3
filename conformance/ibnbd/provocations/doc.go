// SPDX-License-Identifier: Apache-2.0

// Package provocations is what a server can do to an initiator that an initiator must endure, as a table: each
// [Provocation] has a name, the clauses that it decides, and a function that does it with scripted servers and judges what
// the initiator makes of it. It is the mirror image of package attacks.
//
// [Execute] provokes an initiator that has a disk of an ordinary server mapped, which must not notice, and lets it map a disk
// of a conforming server afterwards: an initiator that refuses everything that is wrong and is of no use then has not passed.
//
// Nothing here knows where the initiator is. The suite in specs/initiator runs the table against guests over a virtual wire;
// the tests of this package, and whoever wants to know whether the table catches a broken client, run it inside one process
// with package loopback.
package provocations
