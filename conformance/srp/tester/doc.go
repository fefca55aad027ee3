// SPDX-License-Identifier: Apache-2.0

// Package tester is a small initiator of SRP for tests: it sends a target any login request and any information unit, also
// forbidden ones, byte for byte, and gives back what comes of it.
//
// The nouns, each owned by the one before it:
//
//   - A [Target] is what is under test: where it can be reached, its port identifier and its logical units.
//   - A [Tester] tries one target. Closing it ends everything that it has made.
//   - A [Channel] is one login, with its credits and memory that the target may reach. [Channel.Post] sends any unit;
//     [Channel.ReadAt], [Channel.WriteAt] and their like are what an ordinary initiator does.
//   - A [Limit] is what the owner of a target allows; it is kept in one place, [Channel.Post].
//
// Nothing here judges more than it must to go on: what an answer should have been is said by package attacks, whose errors are a
// violation of a clause. Errors tell the ends of a request apart: a [Failure] was answered, a [Refused] login was rejected,
// [ErrClosed] says that the target has closed the channel, [ErrSilent] that nothing came within the target's patience.
//
// On the wire an ordinary login of the tester is that of mainline Linux: the 56-byte form, direct and indirect descriptors,
// immediate data at offset 68, units of up to 8260 bytes.
package tester
