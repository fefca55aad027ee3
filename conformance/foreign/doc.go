// SPDX-License-Identifier: Apache-2.0

// Package foreign judges a target or an initiator that somebody else runs. All that is known of a target is where it listens,
// what it exports, and perhaps a command by which its owner lets it be controlled; all that is known of an initiator is the
// command by which its owner lets it be used.
//
// The package knows no protocol. A [Protocol] brings the specs, the first contact as an ordinary peer, and the passive judge.
//
// # Nouns
//
//   - A [Config] is what a person says of a target: addresses, exports, the [Place] from which it is reached, what its owner
//     allows ([Consent]) and the command that controls it ([Hook]). An [InitiatorConfig] says the same of an initiator.
//   - A [Subject] is either of the two under a protocol. [Subject.Missing] says what keeps a spec from running, as the reason of a
//     SKIP.
//   - A [Spec] is one thing that can be tried on a subject. It says beforehand what it needs.
//   - A [Run] is the time in which specs run on a subject: [Subject.Start] makes the first contact and refuses what must not be
//     touched, [Run.RunSpec] runs a spec, records its packets, and brings back a subject that died of it.
//
// What the error of a spec means for its clauses is said by package verdict/finding.
//
// # Consent
//
// Without a word from the owner nothing is written, nothing is opened for writing, and nothing is sent that some known
// target did not survive. Writing needs a scratch range, and no request beyond it is sent; what only the target's own checks would
// keep from other blocks needs every export named as one whose data may be lost; what may end the service needs that to be
// allowed. A device whose first MiB has the signature of a file system, a partition table or the like is not written to unless
// its data may be lost.
//
// # The control hook
//
// The command is run with an action and its arguments, and for a target with IBNBD_TARGET (addresses with commas between them),
// IBNBD_EXPORTS and IBNBD_CONFIGURATION (the settings that it was configured with, with blanks between them) in its environment. It
// ends with status 0 when the action is done, with 127 when it does not know the action, and with any other when the action failed;
// what it then says is in the error.
//
//	status   says on lines NAME=VALUE what should stand in the report of the subject, such as its version
//	restart  starts the subject again, after it has died or hangs; it need not wait until a service is ready
//	crash    ends the service without a warning, as a loss of power does, and starts it again
//	configure NAME=VALUE...
//	         starts a target again with these settings, whose names are its owner's; restart and crash keep them
//
// An initiator is used by more actions, which its protocol defines.
//
// A clause that only a missing action could decide is skipped, with the reason no-hook. After crash, restart and configure the target is
// given [Recovery] to serve again. An export in volatile memory cannot keep its data over a crash: a hook for such an export
// answers crash with 127.
//
// # Packets
//
// Over the provider soft, every packet of this side is recorded. Those of each spec are evidence, and the passive judge reads them
// for what they tell of the subject. What it finds of this side, which breaks rules on purpose, is nobody's business.
package foreign
