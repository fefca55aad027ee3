// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "github.com/ibnbd/ibnbd/reference/rdma"

// ServerRules are the rules that a conforming server keeps, each with a switch that turns it off. The zero value is a conforming
// server. Testers that break rules, and mutants that a test suite must catch, are made of it.
type ServerRules struct {
	// Of connecting.

	AnyMagic          bool  // takes requests with any magic and version
	AnyCount          bool  // does not check connection count and cid
	AnyoneCreates     bool  // creates a session also without the first-connection flag
	SameAddresses     bool  // takes a second path between the same addresses
	AnyIncarnation    bool  // lets a connection of another incarnation join
	NoPathLimit       bool  // takes more than MaxPaths paths
	NoHalfOpenLimit   bool  // neither counts half-open paths nor ends them
	RejectErrno       Errno // rejects carry this number instead of the right one; 0: the right one
	RejectWithoutData bool  // rejects carry no errno at all

	// Of the INFO exchange.

	AnyInfoType    bool // takes any message as INFO request
	AnyName        bool // takes any session name
	SharedNames    bool // takes a name that another session has
	FoldNames      bool // takes names that differ in case alone for the same
	FirstPathEnds  bool // ends the session for the upper layer when any of its paths goes
	EarlyInfo      bool // answers before all connections are there
	EarlyHeartbeat bool // sends a heartbeat in front of the INFO response
	ShortInfo      bool // takes an INFO request that is too short, as one without a name
	LongInfo       bool // has room for more than an INFO request, and takes one that is too long

	// Of requests.

	AnyChunk          bool                     // answers EINVAL to a chunk or offset out of range instead of closing the path
	AnyType           bool                     // answers EINVAL to an unknown transport type instead of closing the path
	LongHeaderCloses  bool                     // closes the path for a header longer than the offset
	AnyDescriptor     bool                     // does not compare descriptor and data, and so may tell stale bytes
	NeverInvalidate   bool                     // does not take the client's key back, and says so
	PretendInvalidate bool                     // does not take the client's key back, and says it did
	AlwaysInvalidated bool                     // takes the key of every read back, asked or not
	DataOnError       bool                     // writes the data of a failed read
	ResponseFirst     bool                     // responds, then writes the data
	LastKeyStays      bool                     // with key refresh: keeps the key of the last chunk, as KeepChunkKey does that of all
	KeepKeyOf         func(header []byte) bool // with key refresh: keeps the key of a chunk in which such a request has come; nil: of none
	KeepChunkKey      bool                     // with key refresh: never takes a chunk's key back, and tells the old one
	StaleLongKey      bool                     // with key refresh: tells the old key after a long write
	WrongResponseForm bool                     // answers in the form of the other key mode
	ForgetInflight    bool                     // does not wait for requests in flight when a path closes
	FixedID           bool                     // responds to chunk 0 whatever the request
	AnnounceOther     bool                     // announces the other key mode than it uses
	OutliveConnection bool                     // goes on with the other connections when one is lost
	ServeClosing      bool                     // takes and answers requests on a path that it closes, as long as any is in flight

	// Of the heartbeat.

	NoHeartbeat    bool // sends none
	NoHeartbeatAck bool // answers none
	IgnoreSilence  bool // never declares the client dead

	// Edits of what leaves. Each may be nil.

	EditConnResponse func(cid int, r *ConnResponse)                                   // of an accept, before it is encoded
	EditReject       func(clause string, errno Errno) Errno                           // what is told of the clause that a request breaks; "" is a limit of the server
	EditInfoResponse func(path *ServerPath, message []byte) []byte                    // the encoded message
	EditResponse     func(path *ServerPath, chunk uint32, work *rdma.SendWR)          // the work request that carries the response
	EditHeartbeat    func(path *ServerPath, imm Immediate) (Immediate, bool)          // false: do not send
	AnswerOn         func(r *ServerRequest, cid int) int                              // the connection for the answer to what came on cid
	Intercept        func(path *ServerPath, chunk uint32, errno Errno, answer func()) // answers, by calling answer, when and if it likes
}
