// SPDX-License-Identifier: Apache-2.0

// Package foreign has what runs against somebody else's target or initiator of IBNBD over IBTRS need: how to use it as an ordinary
// peer, and the specs. It is handed to the engine, package conformance/foreign, as [Protocol].
//
// # Targets
//
// The first contact opens a session over each address and each export for reading. The specs are every attack of package attacks, a
// client that stays and keeps every rule, a client that falls silent, and what becomes of data when the owner lets the target crash.
// A [tester.Limit] made of the owner's consent keeps each request of the tester within what is allowed.
//
// # Initiators
//
// An initiator is used through its control hook, see [ControlledInitiator], with a server of its own that only serves. The specs are
// the provocations of package provocations, whose scripted servers listen on the own addresses, at the default port; the
// ordinary server listens at the port behind that.
//
// The hook has to know these actions, beside those of all protocols. A NODE is what map or map-another has said.
//
//	map SESSION ADDRESS PORT DEVICE  maps a disk for writing, over a new session of that name with one path
//	map-another NODE DEVICE          maps another disk over the session of this one
//	unmap NODE                       gives the disk up by force; with the last of a session, ends when that has ended
//	state NODE                       says open or closed
//	reconnect NODE                   tries once to connect the first path of the disk's session, now
//	add-path NODE ADDRESS PORT       adds a path to the disk's session
//	remove-path NODE ADDRESS         takes a path out of it
//	read NODE OFFSET SIZE            says what the disk has there, in bytes
//	write NODE OFFSET SIZE           writes what comes on standard input
//	flush NODE                       flushes
//	size NODE                        says the size of the disk in bytes
//
// Every read and write has to reach the initiator: none may be answered from a cache. When an action fails and the last line of
// standard error is the name of an error number, such as EIO, that is the initiator's error; otherwise the clauses about error
// numbers are skipped. Actions of different sessions, and reads of one disk, come side by side.
package foreign
