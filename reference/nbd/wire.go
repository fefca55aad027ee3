// SPDX-License-Identifier: Apache-2.0

package nbd

// Magic numbers of the handshake and of the transmission phase.
const (
	magicServer      = 0x4e42444d41474943 // NBDMAGIC
	magicOption      = 0x49484156454f5054 // IHAVEOPT
	magicOptionReply = 0x0003e889045565a9
	magicRequest     = 0x25609513
	magicReply       = 0x67446698 // of a simple reply
	magicChunk       = 0x668e33ef // of a chunk of a structured reply
)

// Handshake flags, of the server and of the client.
const (
	flagFixedNewstyle = 1 << 0
	flagNoZeroes      = 1 << 1
)

// Options.
const (
	optExportName = 1
	optAbort      = 2
	optList       = 3
	optInfo       = 6
	optGo         = 7
	optStructured = 8
	optListMeta   = 9
	optSetMeta    = 10
)

// Replies to options.
const (
	repAck        = 1
	repServer     = 2
	repInfo       = 3
	repMeta       = 4
	repErrUnsup   = 1<<31 + 1
	repErrInvalid = 1<<31 + 3
	repErrUnknown = 1<<31 + 6
	repErrTooBig  = 1<<31 + 9
)

// Kinds of information in a reply to info and go.
const (
	infoExport    = 0
	infoBlockSize = 3
)

// Transmission flags.
const (
	txHasFlags    = 1 << 0
	txReadOnly    = 1 << 1
	txFlush       = 1 << 2
	txFUA         = 1 << 3
	txRotational  = 1 << 4
	txTrim        = 1 << 5
	txWriteZeroes = 1 << 6
	txSendDF      = 1 << 7
	txMultiConn   = 1 << 8
	txFastZero    = 1 << 11
)

// Commands.
const (
	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdWriteZeroes = 6
	cmdBlockStatus = 7
)

// Command flags.
const (
	cmdFlagFUA      = 1 << 0
	cmdFlagNoHole   = 1 << 1
	cmdFlagDF       = 1 << 2
	cmdFlagReqOne   = 1 << 3
	cmdFlagFastZero = 1 << 4
)

// Chunks of structured replies.
const (
	chunkDone = 1 << 0 // flag: the last chunk of the reply

	chunkNone       = 0
	chunkOffsetData = 1
	chunkOffsetHole = 2
	chunkStatus     = 5
	chunkError      = 1<<15 + 1
)

// The one metadata context of this server.
const (
	allocation   = "base:allocation"
	allocationID = 1
	stateZero    = 1 << 1 // of an extent: it reads as zeroes
)

// Errors of the protocol, which are numbers of their own.
const (
	errPerm     = 1
	errIO       = 5
	errNoMem    = 12
	errInval    = 22
	errNoSpace  = 28
	errNotSup   = 95
	errShutdown = 108
)

const (
	requestSize  = 28
	replySize    = 16
	chunkSize    = 20       // header of a chunk
	maxOption    = 64 << 10 // bytes of data in an option
	maxName      = 4096     // bytes in the name of an export
	oldPadding   = 124      // zeroes behind the answer to export name, for clients without flagNoZeroes
	maxIO        = 32 << 20 // bytes in one command; what every server should take
	maxInFlight  = 128      // commands of one connection at a time
	optionHeader = 16
)
