// SPDX-License-Identifier: Apache-2.0

package ibnbd

// ServerRules are the rules that a conforming server keeps, each with a switch that turns it off. The zero value is a conforming
// server; those of the transport are in its configuration. Testers that break rules, and mutants that a test suite must catch,
// are made of it.
type ServerRules struct {
	// Of SESS_INFO.

	AnswerOwnVersion bool // answers its own version, not the lower of both
	AlwaysMarker     bool // answers the marker to everybody
	AnyVersion       bool // takes version 0

	// Of OPEN and CLOSE.

	AnyReplySpace      bool // does not check whether the reply fits
	OpenTwice          bool // opens a path again that the session has open
	AnyDots            bool // takes two dots in a device path
	AnyWriters         bool // does not count writers
	KeepWriter         bool // does not take a writer back when its device is closed
	EndKeepsWriter     bool // does not take a writer back when its session ends
	RefusalKeepsWriter bool // does not take a writer back of which it has refused an I/O
	ReaderFreesWriter  bool // takes a writer back when any mapping of its device is closed
	InfoForgets        bool // closes what a session has open when it sends SESS_INFO again
	MixIOModes         bool // exports a device in both I/O modes at once
	HonourIOModeByte   bool // honours byte 5 of OPEN whatever the profile
	BlocksAsCapacity   bool // tells the capacity in logical blocks
	StaleReply         bool // leaves old bytes where the end of a reply should be zero
	CloseBeforeIO      bool // answers CLOSE while I/O is in flight
	UnknownCloseFails  bool // answers ENOTCONN to CLOSE of an unknown id

	// Of IO.

	UnknownDeviceIsEIO  bool // answers EIO instead of ENOTCONN
	AnySize             bool // does not compare size and data
	UnknownOpReads      bool // takes unknown operations for reads
	AnyDirection        bool // does not compare operation and transport direction
	WriteReadOnly       bool // writes through a read-only mapping
	DiscardReadOnly     bool // lets everything but writes through a read-only mapping
	Upgrade             bool // lets a session write a device that it opens again for writing, and counts no writer
	IgnoreFlush         bool // answers flushes without doing them
	IgnoreFUA           bool // treats a FUA write as any other
	FUAOnReadFails      bool // answers EIO to FUA on anything but a write
	FlushChecksSector   bool // checks the sector of a flush
	ZeroesAreDiscard    bool // discards instead of writing zeroes
	NoWriteOrder        bool // lets writes to the same blocks overtake each other
	AcknowledgeTooEarly bool // answers a write before it is executed
	EarlyLongWrites     bool // answers a write of more than 32 KiB before it is executed
	ShortReads          bool // reads 64 KiB at most, and leaves where the rest belongs what an earlier request has left there
	FirstDeviceWrites   bool // writes to the first device of the session, whichever is meant
	DiscardOutwards     bool // discards every block of the granularity that the range touches
	EmptyReadPanics     bool // panics upon a read of no bytes
	IgnoreEnd           bool // does not check the end of the device: what lies behind it is answered with success, untouched
}
