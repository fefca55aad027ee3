// SPDX-License-Identifier: Apache-2.0

package nbd

// Magic numbers of the handshake and of the transmission phase.
const (
	magicServer      = 0x4e42444d41474943 // NBDMAGIC
	magicOption      = 0x49484156454f5054 // IHAVEOPT
	magicOptionReply = 0x0003e889045565a9
	magicRequest     = 0x25609513
	magicReply       = 0x67446698
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
)

// Replies to options.
const (
	repAck        = 1
	repServer     = 2
	repInfo       = 3
	repErrUnsup   = 1<<31 + 1
	repErrInvalid = 1<<31 + 3
	repErrUnknown = 1<<31 + 6
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
	txMultiConn   = 1 << 8
)

// Commands.
const (
	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdWriteZeroes = 6
)

// Command flags.
const (
	cmdFlagFUA    = 1 << 0
	cmdFlagNoHole = 1 << 1
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
	maxOption    = 64 << 10 // bytes of data in an option
	maxName      = 4096     // bytes in the name of an export
	oldPadding   = 124      // zeroes behind the answer to export name, for clients without flagNoZeroes
	maxIO        = 32 << 20 // bytes in one command; what every server should take
	maxInFlight  = 128      // commands of one connection at a time
	optionHeader = 16
)
