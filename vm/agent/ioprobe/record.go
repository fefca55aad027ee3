// SPDX-License-Identifier: Apache-2.0

// Package ioprobe measures how long I/O on a block device stalls. In the guest, Main issues one direct I/O every interval,
// on time even while earlier ones hang, and prints a line of JSON for each when it is done. On the host, Options makes the
// arguments and Record is a line:
//
//	process, err := client.Start(ctx, agent.Command{Path: agent.GuestProgram, Args: options.Args(), Stdout: lines})
//
// The prober ends when its duration is over or at SIGTERM. It then prints what is still outstanding, and an "end". A
// process whose I/O hangs in the kernel cannot die before that I/O does, so the "end" is what to wait for.
package ioprobe

// An Event says what a Record tells of.
type Event string

// The events of a run: one Begin; for every tick IO (it has completed), Skipped (too many were outstanding to issue it) or
// Outstanding (it had not completed at the end); one End.
const (
	Begin       Event = "begin"
	IO          Event = "io"
	Skipped     Event = "skipped"
	Outstanding Event = "outstanding"
	End         Event = "end"
)

// A Record is one line of the prober's output. Times are nanoseconds of the guest's clocks.
type Record struct {
	Event Event `json:"event"`
	// Seq numbers the ticks from 0 on.
	Seq uint64 `json:"seq"`
	// Write tells writes from reads.
	Write bool `json:"write,omitempty"`
	// Offset and Size of the I/O in bytes; of Begin, the size of the probed part.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// Submit is when it was issued, by CLOCK_MONOTONIC; of the other events, when they happened.
	Submit int64 `json:"submit"`
	// Realtime is the same moment by CLOCK_REALTIME.
	Realtime int64 `json:"realtime"`
	// Complete is when it was done, by CLOCK_MONOTONIC; 0 if it is not.
	Complete int64 `json:"complete,omitempty"`
	// Errno is what the kernel said; 0 is success.
	Errno int `json:"errno,omitempty"`
	// Short is the number of bytes that were moved where it was less than Size without an error.
	Short int64 `json:"short,omitempty"`
	// Stamp is what a read found at Offset, if a prober wrote there.
	Stamp *Stamp `json:"stamp,omitempty"`
}
