// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "github.com/ibnbd/ibnbd/reference/rdma"

// ClientRules are the rules that a conforming client keeps, each with a switch that turns it off. The zero value is a conforming
// client. Testers that break rules, and mutants that a test suite must catch, are made of it.
type ClientRules struct {
	// Of connecting.

	ReverseOrder       bool // connects the highest cid first
	NeverFirst         bool // never sets the first-connection flag
	KeepIncarnation    bool // does not count incarnations
	NewPathUUID        bool // takes a new path UUID for each build
	IgnoreRejectErrno  bool // reports ECONNRESET whatever the server's reject says
	IgnoreAccept       bool // does not check errno, magic and version of the accept
	IgnoreGeometry     bool // does not check depth and sizes of the accept; it must be usable nevertheless
	IgnoreDepthChange  bool // goes on with a path whose queue depth has changed
	IgnoreInfoResponse bool // takes any regions as long as there is one for each chunk
	DoubleInfo         bool // sends the INFO request twice

	// Of requests.

	KeepReadKey      bool // does not take its key back when the server did not
	NoInvalidateFlag bool // does not ask the server to take the key of a read back
	RepostOne        bool // gives one receive back for a response that took two
	IgnoreNewKey     bool // goes on using a chunk's old key
	AnyResponseForm  bool // takes responses in the form of the other key mode
	ShortKeyResponse bool // takes a key response that is too short, and goes on using the old key
	NoPermitLine     bool // fails requests for which there is no chunk instead of having them wait
	WakeOnTraffic    bool // has whoever waits for a chunk wait until another request wants one
	ForgetOnLoss     bool // never ends the requests of a lost path
	SucceedOnLoss    bool // ends the requests of a lost path without an error
	WaitForPath      bool // never ends a request for which there is no path

	// Of paths.

	NoHeartbeat    bool // sends none
	NoHeartbeatAck bool // answers none
	IgnoreSilence  bool // never declares the server dead
	LostWithFirst  bool // tells that the session is lost when any path is
	FirstPathOnly  bool // sends requests on the first path alone
	StayAway       bool // does not reconnect by itself
	NoFailover     bool // fails the requests of a lost path although another is whole
	NoQuarantine   bool // does not wait before it sends the writes of a lost path again
	SendGivenUp    bool // sends requests again that nobody waits for, or that were revoked
	NoDelay        bool // reconnects without pause

	// Edits of what leaves. Each may be nil.

	EditConnRequest func(path *Path, cid int, r *ConnRequest)                    // before it is encoded
	EditInfoRequest func(path *Path, message []byte)                             // the encoded message, in place
	EditRequest     func(path *Path, permit uint32, wr *rdma.SendWR, msg []byte) // user header and transport message, in place
	EditHeartbeat   func(path *Path, imm Immediate) (Immediate, bool)            // false: do not send

	EditBounds func(b *Bounds) // what the session tells its user
}
