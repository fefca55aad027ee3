// SPDX-License-Identifier: Apache-2.0

package srp

import "time"

// InitiatorRules are the rules that a conforming initiator keeps, each with a switch that turns it off. The zero value is a conforming
// initiator. Initiators that a test suite must find broken are made of it.
type InitiatorRules struct {
	// Of logins.

	AnyReply        bool // takes what is no answer to a login for one
	AnyLimit        bool // takes any request limit
	TrustReject     bool // does not look at the type of a reject
	AnyReject       bool // takes a reason of the target from any reject
	HideReason      bool // does not tell the reason of a reject
	NoStaleRetry    bool // gives up when the target takes a connection for an old one
	AllChannels     bool // does not do with fewer channels than it wants
	SmallReceives   bool // has receives of 128 bytes, whatever the target says that it sends
	WantsOldSession bool // logs in again only where the target remembers the session
	// EditLogin, unless nil, may change a login.
	EditLogin func(*LoginReqCM)

	// Of units and data.

	ReadBehindUnit   bool // takes what a receive held before for a part of a shorter unit
	IgnoreCredits    bool // sends commands without credits
	WrapCredits      bool // lets the request limit wrap
	AnyTag           bool // takes a response with an unknown tag for one to the oldest command
	IgnoreCode       bool // takes a command that was refused for one that has succeeded
	IgnoreResidual   bool // takes all data for moved, whatever a response says
	BoundedResidual  bool // takes a residual that is larger than the buffer for none
	KeepKeys         bool // takes keys back when it needs them again
	FreeGivenUp      bool // uses the memory of a command again that was given up
	ProbeByCommand   bool // probes an idle channel by a command, which takes a credit
	AddTwice         bool // adds a target port that is connected already
	IgnoreLogout     bool // does nothing when the target logs out
	KeepOtherChannel bool // goes on with the other channels when one is lost
	NoTaskLimit      bool // waits for the answer to task management for ever
	NoCommandLimit   bool // waits for the answer to a command for ever
	// EditReceived, unless nil, may change a unit that has come, or give none to drop it.
	EditReceived func(unit []byte) []byte
	// EditData, unless nil, may change data-in that has come.
	EditData func(data []byte)

	// Of losses.

	NoReconnect    bool          // does not log in again by itself
	MostAttempts   int           // gives up after so many failures; 0: never
	GiveUpOnReject bool          // does not log in again after a reject
	NoAttemptLimit bool          // waits for the answer to a login for ever
	Pause          time.Duration // longer in front of each attempt than is configured
	WaitForAttempt bool          // fast_io_fail_tmo waits for an attempt that is being made
	FailAtOnce     bool          // fails I/O without waiting for fast_io_fail_tmo
	NeverFail      bool          // fast_io_fail_tmo has no effect
	HoldOffline    bool          // holds I/O when fast_io_fail_tmo has passed
	RemoveOnFail   bool          // removes the port when fast_io_fail_tmo has passed
	KeepLossTimer  bool          // dev_loss_tmo goes on when the port is back
	RefuseBlocked  bool          // refuses I/O while a port is lost, instead of holding it
	KeepOffline    bool          // refuses I/O also when the port is back, once it has failed
	IgnoreTimers   bool          // does not take timers that are set
	KeepHalf       bool          // leaves a port behind that could not be added
	DropOnLoss     bool          // takes commands for done that were sent when the port is lost
	KeepFailures   bool          // does not count failures from 0 after a success
	FixedTimers    bool          // does not change the timers of a lost port
	AnyTimers      bool          // takes any combination of timers
	NoCancel       bool          // does not cancel attempts upon a delete
}
