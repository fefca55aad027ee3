// SPDX-License-Identifier: Apache-2.0

// Package target has the specs in which a client that breaks the protocol attacks the target. What it does is in package attacks; here it
// gets a place on the rails of the lab, two exports, and a target with the queue depth that it needs.
//
// Beside the attacks, which any target can be tried with, stand specs for which the lab is needed: what happens while the disk
// behind an export is at work, how many clients there is room for, and what a client and this project's own target agree on.
package target
