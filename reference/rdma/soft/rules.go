// SPDX-License-Identifier: Apache-2.0

package soft

// Rules are the rules of RoCEv2 that a conforming endpoint keeps, each with a switch that turns it off. The zero value is a
// conforming endpoint. Testers that break rules, and mutants that a test suite must catch, are made of it.
type Rules struct {
	// As a requester.

	NoAckReq           bool // never asks for an acknowledgement
	IgnoreWindow       bool // sends without regard to how much is unacknowledged
	IgnoreReadDepth    bool // issues more READs than were negotiated
	IgnoreRNRWait      bool // repeats at once when the peer has no receive, instead of waiting
	NoRetransmit       bool // never repeats a packet
	NoTimeout          bool // never notices that an answer is missing
	IgnoreSequenceNAK  bool // waits for the timer although the peer named the packet it misses
	AcceptGhostAcks    bool // lets an acknowledgement of what was never sent complete work, as Linux 6.12 rxe does
	AcceptAnyReadOrder bool // places READ responses by arrival and not by sequence number
	NonzeroPad         bool // pads with 0xFF instead of 0
	SkipPSN            bool // leaves out one sequence number before each message

	// As a responder.

	NoAck               bool // never acknowledges
	ExecuteDuplicates   bool // executes a SEND or WRITE that it has executed before
	AcceptOutOfSequence bool // takes a packet with a gap before it
	NoSequenceNAK       bool // drops what is out of sequence without a word
	RepeatSequenceNAK   bool // answers every packet that is out of sequence
	NAKAfterRNR         bool // reports what follows a "receiver not ready" as out of sequence, as Linux 6.12 rxe does
	LongSendIsOperation bool // answers a SEND that is too long with "operational error", as Linux 6.12 rxe does
	NoRNR               bool // drops a message without a receive instead of saying "receiver not ready"
	IgnoreAccessRights  bool // lets a key do what it was not registered for
	IgnoreWindowOwner   bool // lets a window's key work on every connection
	IgnoreReadResources bool // serves more READs at once than were negotiated
	IgnoreOpSequence    bool // takes a Middle or Last without a First, or a First inside a message
	IgnoreLengths       bool // takes packets whose length does not fit opcode, path MTU or RETH
	AnswerAfterError    bool // goes on answering on a queue pair in error
	KeepInvalidatedKey  bool // ignores that the peer took a key back
	MSNStuck            bool // reports message sequence number 0 for ever

	// Of packets in general.

	IgnoreICRC     bool // takes packets with a wrong ICRC
	IgnorePeerAddr bool // takes packets of a connection from any address
	IgnorePKey     bool // takes packets of any partition

	// Of connection management.

	NoRTU                 bool // never confirms a reply
	NoDREQ                bool // goes without a word
	NoDREP                bool // never answers a disconnect request
	NoREPRetry            bool // sends a reply once
	IgnoreDuplicateREQ    bool // does not answer a repeated request again
	IgnoreDuplicateREP    bool // does not confirm a repeated reply again
	IgnoreStale           bool // takes a request that names a queue pair in use
	IgnoreDREQQPN         bool // disconnects although the request names another queue pair
	NoTimeWait            bool // reuses numbers at once
	IgnoreUnknownDREQ     bool // leaves a disconnect request for unknown ids unanswered
	IgnoreIPCM            bool // takes a request whose IP header is wrong
	WaitForRTU            bool // does not receive before the peer has confirmed
	SwapStartingPSN       bool // exchanges the two starting sequence numbers
	UnlimitedSevenRetries bool // takes a retry count of 7 for infinite, as Linux 6.12 rxe does
}
