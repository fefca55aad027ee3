// SPDX-License-Identifier: Apache-2.0

// Package live follows the rails of a lab while they run, so that faults can be chosen by what a frame means to storage:
// "the third write request on the second path", "the answer to an OPEN".
//
//   - A [Watcher] is a tracker that sees every frame before the faults of its rails do.
//   - A [Filter] chooses events of the tracker, by kind or side; protocols have filters of their own. [All] joins them.
//   - [Watcher.On] makes a predicate for a fault out of filters. It matches the frame that completes the chosen message:
//     if that frame is lost, so is the message.
//
// How many of the matching frames are hit is not decided here but by the Pick of the fault.
package live
