// SPDX-License-Identifier: Apache-2.0

// Package judge is the passive judge of SRP: what package audit has to know to make logins and SCSI commands of packets, and the
// rules that decide clauses.
//
//   - [Protocol] is handed to the engine. For each tracker it makes a follower, which keeps the channels between two ports and a
//     [Command] for each tag in use.
//   - An [Event] is an event of the engine with what the protocol knows of it; [Of] finds it.
//   - The rules are in tables: rules_login.go has those of logins and reconnects, rules.go those of units, data and credits.
package judge
