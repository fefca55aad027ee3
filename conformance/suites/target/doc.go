// SPDX-License-Identifier: Apache-2.0

// Package target has the specs in which an impolite client attacks the target. What it does is in package attacks; here it
// gets a place on the rails of the lab, two exports, and a target with the queue depth that it needs.
package target
