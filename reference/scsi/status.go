// SPDX-License-Identifier: Apache-2.0

package scsi

import "fmt"

// Status is how a command ended.
type Status uint8

// The statuses.
const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	TaskAborted         Status = 0x40
)

var statusNames = map[Status]string{
	Good: "GOOD", CheckCondition: "CHECK CONDITION", Busy: "BUSY", ReservationConflict: "RESERVATION CONFLICT",
	TaskSetFull: "TASK SET FULL", TaskAborted: "TASK ABORTED",
}

// String returns the name that SAM gives the status.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %#02x", uint8(s))
}
