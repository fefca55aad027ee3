// SPDX-License-Identifier: Apache-2.0

package ibnbd

// ClientRules are the rules that a conforming client keeps, each with a switch that turns it off. The zero value is a conforming
// client; those of the transport are in its configuration.
type ClientRules struct {
	NoSessInfo         bool // opens devices without SESS_INFO
	IgnoreZeroBlock    bool // takes a device with a logical block of 0
	KeepDeviceID       bool // goes on using the device id of before a reconnect
	KeepCapacity       bool // does not take the capacity of a new OPEN_RSP
	NoRemap            bool // does not open devices again after a reconnect
	QueueWhenClosed    bool // sends I/O although the device is closed
	ServeWhenClosed    bool // ends I/O without an error although the device is closed
	NoOrder            bool // sends what touches the blocks of a write that is under way, and opens devices beside old requests
	CloseWhenClosed    bool // sends CLOSE although the device is closed
	MapWhenLost        bool // waits with mapping until the session has a path
	NoFlush            bool // never sends a flush
	FlushEarly         bool // ends a flush before it is answered
	FlushAsWrite       bool // sends flushes as transport writes
	NoLimits           bool // ignores the limits of OPEN_RSP
	WriteZeroesAnyway  bool // sends write-zeroes whatever the profile
	KeepLateOpen       bool // does not close what was opened for a device that was unmapped meanwhile
	NoClose            bool // never sends CLOSE
	TrustUnclearedByte bool // believes byte 45 of a reply that was not cleared
}
