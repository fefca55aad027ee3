// SPDX-License-Identifier: Apache-2.0

// Package scsi is the SCSI of a disk: the commands that a logical unit answers, over a backend.Backend, and the command
// blocks by which an initiator asks for them. It knows no transport.
//
// # Command blocks
//
// A [Form] is one row of the table of commands: operation code, length and [Field]s of the block. Both sides use it:
// [Form.New] makes a command block, a logical unit reads the fields of one. [Sense] is what a failed command reports,
// [Status] how it ended, [LUN] the 8-byte name of a logical unit.
//
// # A logical unit
//
//   - A [Unit] is a disk on a backend.
//   - [LUNs] is a set of units under their numbers: what some initiators may use.
//   - A [Nexus] is one initiator that uses a set. Unit attentions are kept for it.
//   - A [Task] is one command of a nexus. [Nexus.Prepare] reads its command block, so that the transport learns how many
//     bytes move in which direction, [Task.Submit] puts it into the task set of its unit, and [Task.Execute] carries it
//     out when the task set calls Run.
//
// The transport owns all data buffers, and a command reaches no byte outside the one it is given.
//
// Sources: SPC-4, SBC-3, SAM-5, by their section names in comments.
package scsi
