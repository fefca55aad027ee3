// SPDX-License-Identifier: Apache-2.0

// Package foreign judges a target or an initiator that somebody else runs. All that is known of a target is where it listens,
// what it exports, and perhaps a command by which its owner lets it be controlled; all that is known of an initiator is the
// command by which its owner lets it be steered.
//
// # Nouns
//
//   - A [Config] is what a person says of the target: addresses, exports, the [Place] from which it is visited, what its
//     owner allows ([Consent]) and the command that controls it ([Hook]).
//   - A [Spec] is one thing that can be tried on such a target: every attack of package attacks, a long polite visit, a
//     client that falls silent, and what becomes of data when the owner lets the target crash. It says beforehand what it
//     needs.
//   - An [InitiatorConfig] says the same of an initiator. Its specs are the provocations of package provocations, and the
//     stay, with scripted servers on own addresses, is a [Reception].
//   - A [Party] is either of the two, and a [Stay] what becomes of it, for those who only run specs.
//   - A [Visit] is one stay at the target. [Open] makes the first contact and refuses what must not be touched;
//     [Visit.Missing] says what keeps a spec from running, as the reason of a SKIP; [Visit.Run] runs it.
//
// # Consent
//
// Without a word from the owner nothing is written, nothing is opened for writing, and nothing is sent that some known
// target did not survive. Writing needs a scratch range, and no request beyond it leaves the tester; what only the target's
// own checks would keep from other blocks needs every export named as one whose data may be lost; what may end the service
// needs that to be allowed. A device whose first MiB has the signature of a file system, a partition table or the like is
// not written to unless its data may be lost.
//
// # The control hook
//
// The command is run with one argument, the action, and with IBNBD_TARGET (addresses with commas between them) and
// IBNBD_EXPORTS in its environment. It ends with status 0 when the action is done, with 127 when it does not know the
// action, and with any other when the action failed; what it then says is in the error.
//
//	status   says on lines NAME=VALUE what should stand in the report of the target, such as its version
//	restart  starts the service again, after it has died or hangs; it need not wait until the service is ready
//	crash    ends the service without a warning, as a loss of power does, and starts it again
//
// An initiator is steered by more actions, which have arguments. A NODE is what map or map-another has said.
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
//
// A clause that only a missing action could decide is skipped, with the reason no-hook. After crash and restart the target is
// given [Recovery] to serve again. An export in volatile memory cannot keep its data over a crash: a hook for such an export
// answers crash with 127.
//
// # Packets
//
// Over the provider soft the visit sees every packet of its own. Those of each spec are evidence; those of the polite visit
// are also read by the passive judge, for what they tell of the target.
package foreign
