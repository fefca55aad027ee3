// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"time"
)

// FrameID names one frame: the rail that it was seen on, and its number there, counted from 1 as capture tools do.
type FrameID struct {
	Rail   string `json:"rail,omitempty"`
	Number uint64 `json:"number"`
}

// String gives "rail0#12".
func (f FrameID) String() string { return fmt.Sprintf("%s#%d", f.Rail, f.Number) }

// Frame is one captured frame.
type Frame struct {
	FrameID
	At      time.Time // when it was captured
	Data    []byte    // the captured bytes; valid only until the next frame is read
	OrigLen int       // length of the frame on the wire in bytes, at least len(Data)
	Link    Link      // what Data begins with
	File    int       // number of the file among those that are judged together
	Apart   bool      // the clock of the file is not that of the others: which frame came first is known within the file alone
	Lost    bool      // it was sent, and arrived nowhere: nobody is judged by it, but what comes instead of it is late
	Stepped bool      // the clock was set before it: how much time has passed since the frame before is not known
	Untimed bool      // the capture does not say when; At is the time of the frame before
	Long    bool      // the record is longer than the file says that any is
}
