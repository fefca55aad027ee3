// SPDX-License-Identifier: Apache-2.0

package srp

// TargetRules are the rules that a conforming target keeps, each with a switch that turns it off. The zero value keeps all.
// Broken targets, which a test suite must catch, are made with it.
type TargetRules struct {
	// Of logins.

	AnyIULength        bool // takes any requested IU length
	AnyTargetPort      bool // takes logins to any target port
	AnyFormats         bool // takes any required buffer format
	AnyInitiator       bool // lets initiators in that have no access
	AnyImmediateOffset bool // grants immediate data at any offset, and unasked
	IgnoreDisabled     bool // takes logins while the port is disabled
	IgnoreExtension    bool // takes initiator ports of one GUID for one
	KeepSuperseded     bool // a single-channel login leaves other channels alone
	RefuseRelogin      bool // rejects a single-channel login while there are channels
	NoHalfOpenLimit    bool // waits for a confirmation for ever

	// Of units and data.

	NoPartialLists      bool // answers BUSY to a partial list
	InBeforeOut         bool // takes the first of two descriptors for data-in
	ReadBehindUnit      bool // takes what a receive held before for a part of a shorter unit
	EndOnUnknownType    bool // closes the channel upon a unit of unknown type, without a word
	IgnoreBufferLength  bool // writes as much data as the command has
	AnswerFirst         bool // sends the response before the data
	ExecuteUnread       bool // executes a write whose data could not be read
	AnswerLogout        bool // answers a logout
	IgnoreLogout        bool // goes on after a logout
	KeepDisconnected    bool // does not forget a channel that has ended
	FailTogether        bool // ends all channels when one fails
	CountAnswers        bool // an answer to a request of the target uses up a receive
	LoseCredits         bool // keeps the credit of a request that ends without a response
	AbortAcrossChannels bool // finds a tag on all channels of the nexus
	AnswerAborted       bool // answers an abort at once, and the command later
	FailUnknownTag      bool // an abort of an unknown tag fails, as that of Linux 6.12 does
	ResetClears         bool // reports a reset as a cleared task set

	// EditLogin and EditReject, unless nil, may change what answers a login.
	EditLogin  func(login *LoginReqCM, rsp *LoginRsp)
	EditReject func(*LoginRej)
	// EditUnit may change a unit that has come.
	EditUnit func(unit []byte)
	// Drop says that a request is never answered.
	Drop func(c *TargetChannel, unit []byte) bool
	// EditData may change data-in, EditResponse the response to a unit.
	EditData     func(c *TargetChannel, unit, data []byte)
	EditResponse func(unit []byte, rsp *Rsp)
}
