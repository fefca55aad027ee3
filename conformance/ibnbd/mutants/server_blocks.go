// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// rule makes a server with a rule of the block protocol turned off.
func rule(turn func(r *ibnbd.ServerRules)) func(*brokenServer) {
	return func(b *brokenServer) { turn(&b.Rules) }
}

// answers makes a server that answers some requests with a number of its own.
func answers(errno ibtrs.Errno, chosen func(w *request) bool) func(*brokenServer) {
	return func(b *brokenServer) { b.answerOdd(errno, chosen) }
}

// instead makes a server that answers with one number where another belongs.
func instead(right, wrong ibtrs.Errno) func(*brokenServer) {
	return func(b *brokenServer) {
		b.editErrno(func(_ uint32, errno ibtrs.Errno) ibtrs.Errno {
			if errno == right {
				return wrong
			}
			return errno
		})
	}
}

// knownFlags are the bits of an IO message that have a meaning.
const knownFlags = 0xFFF

// nonzero says whether a field of a message has a bit set.
func nonzero(f field, message []byte) bool {
	for _, b := range message[min(f.Offset, len(message)):min(f.End(), len(message))] {
		if b != 0 {
			return true
		}
	}
	return false
}

// known says whether a block message has one of the types that a client sends.
func known(w *request) bool {
	switch blockType.get(w.header) {
	case ibnbd.TypeSessInfo, ibnbd.TypeOpen, ibnbd.TypeIO, ibnbd.TypeClose:
		return true
	}
	return false
}

// messages are mutants of the messages of the block protocol.
func messages() []row {
	return []row{
		server("own-version", "answers its own version, not the lower one", "IBNBD-MSG-003",
			rule(func(r *ibnbd.ServerRules) { r.AnswerOwnVersion = true })),
		server("no-short-io", "refuses IO messages of 24 bytes", "IBNBD-MSG-005",
			answers(ibtrs.EINVAL, func(w *request) bool { return w.is(ibnbd.TypeIO) && len(w.header) == ibnbd.ShortIORequestSize })),
		server("no-long-message", "refuses messages that are longer than it knows", "IBNBD-MSG-006",
			answers(ibtrs.EINVAL, func(w *request) bool { return w.is(ibnbd.TypeSessInfo) && len(w.header) > ibnbd.SessInfoSize })),
		server("padding-must-be-zero", "refuses messages whose padding is set", "IBNBD-MSG-010",
			answers(ibtrs.EINVAL, func(w *request) bool { return w.is(ibnbd.TypeSessInfo) && nonzero(blockPadding, w.header) })),
		server("any-type-succeeds", "answers messages of unknown types with success", "IBNBD-MSG-011",
			answers(0, func(w *request) bool { return !known(w) })),
		server("short-message-succeeds", "answers messages that are too short with success", "IBNBD-MSG-012",
			answers(0, func(w *request) bool { return len(w.header) < 4 })),
		server("no-room-for-the-reply", "does not look whether its reply has room", "IBNBD-MSG-013",
			rule(func(r *ibnbd.ServerRules) { r.AnyReplySpace = true })),
		server("stale-reply", "leaves old bytes in its replies", "IBNBD-MSG-014",
			rule(func(r *ibnbd.ServerRules) { r.StaleReply = true })),
		server("sess-info-first", "refuses OPEN before SESS_INFO", "IBNBD-MSG-015", func(b *brokenServer) {
			introduced := 0 // sessions that have sent SESS_INFO and not yet OPEN
			b.answerOdd(ibtrs.EINVAL, func(w *request) bool {
				switch {
				case w.is(ibnbd.TypeSessInfo):
					introduced++
				case w.is(ibnbd.TypeOpen) && introduced == 0:
					return true
				case w.is(ibnbd.TypeOpen):
					introduced--
				}
				return false
			})
		}),
		server("version-zero", "takes version 0", "IBNBD-MSG-016",
			rule(func(r *ibnbd.ServerRules) { r.AnyVersion = true })),
		server("sess-info-once", "refuses to be asked for its version again", "IBNBD-MSG-017", func(b *brokenServer) {
			again := false
			b.answerOdd(ibtrs.EINVAL, func(w *request) bool {
				refused := w.is(ibnbd.TypeSessInfo) && again
				again = w.is(ibnbd.TypeSessInfo)
				return refused
			})
		}),
	}
}

// opening are mutants of OPEN and CLOSE.
func opening() []row {
	return []row{
		server("no-such-device-is-eio", "answers EIO where no device is", "IBNBD-OPEN-003", instead(ibtrs.ENOENT, ibtrs.EIO)),
		server("any-dots", "opens paths with two dots", "IBNBD-OPEN-005",
			rule(func(r *ibnbd.ServerRules) { r.AnyDots = true })),
		server("two-writers", "counts no writers", "IBNBD-OPEN-007",
			rule(func(r *ibnbd.ServerRules) { r.AnyWriters = true })),
		server("any-access-mode", "takes an unknown access mode for reading", "IBNBD-OPEN-012",
			misreads(func(w *request) {
				if w.is(ibnbd.TypeOpen) && !ibnbd.AccessMode(openAccess.get(w.header)).Valid() {
					openAccess.set(w.header, uint64(ibnbd.ReadOnly))
				}
			})),
		server("unknown-access-mode-writes", "refuses an unknown access mode, and counts a writer all the same", "IBNBD-OPEN-012", func(b *brokenServer) {
			writer := false
			b.answerOdd(ibtrs.EPERM, func(w *request) bool {
				if !w.is(ibnbd.TypeOpen) {
					return false
				}
				mode := ibnbd.AccessMode(openAccess.get(w.header))
				refused := writer && mode == ibnbd.ReadWrite
				writer = writer || !mode.Valid()
				return refused
			})
		}),
		server("opens-twice", "gives a path that is open a second id", "IBNBD-OPEN-013",
			rule(func(r *ibnbd.ServerRules) { r.OpenTwice = true })),
		server("blocks-whatever-is-asked", "opens every device for block I/O", "IBNBD-OPEN-035", misreads(opensBlocks)),
		server("knows-all-devices", "answers I/O to the device of another session with success", "IBNBD-OPEN-032",
			instead(ibtrs.ENOTCONN, 0)).alsoBreaks("IBNBD-IO-002", "IBNBD-OPEN-030"),
		server("empty-path-is-unknown", "looks for a device without a name", "IBNBD-OPEN-018",
			answers(ibtrs.ENOENT, func(w *request) bool { return w.is(ibnbd.TypeOpen) && w.devicePath() == "" })),
		server("endless-path-is-unknown", "looks for a device whose name has no end", "IBNBD-OPEN-018",
			answers(ibtrs.ENOENT, func(w *request) bool {
				return w.is(ibnbd.TypeOpen) && w.header[openDevicePath.End()-1] != 0
			})),
		server("close-of-nothing-fails", "refuses CLOSE of a device that is not open", "IBNBD-OPEN-022",
			rule(func(r *ibnbd.ServerRules) { r.UnknownCloseFails = true })),
	}
}

// opensBlocks makes an OPEN ask for block I/O.
func opensBlocks(w *request) {
	if w.is(ibnbd.TypeOpen) {
		openIOMode.set(w.header, uint64(ibnbd.BlockIO))
	}
}

// blocks are mutants of I/O.
func blocks() []row {
	return []row{
		server("unknown-device-is-eio", "answers EIO for a device that is not open", "IBNBD-IO-002",
			rule(func(r *ibnbd.ServerRules) { r.UnknownDeviceIsEIO = true })),
		server("closed-is-another", "takes the number of a closed device for that of another", "IBNBD-OPEN-030", func(b *brokenServer) {
			const other = 1
			gone := false
			b.alterRequests(func(w *request) {
				switch {
				case w.is(ibnbd.TypeClose):
					gone = true
				case gone && w.is(ibnbd.TypeIO) && ioDevice.get(w.header) == 0:
					ioDevice.set(w.header, other)
				}
			})
		}),
		server("same-number-for-all", "gives all devices of a session the same number", "IBNBD-OPEN-029", func(b *brokenServer) {
			b.alterSentReplies(ibnbd.OpenResponseSize, func(m []byte) { replyDeviceID.set(m, 0) })
		}),
		server("read-only-is-eacces", "refuses writes on a read-only mapping with EACCES", "IBNBD-IO-029", instead(ibtrs.EROFS, ibtrs.EACCES)),
		server("any-size", "does not compare size and data", "IBNBD-IO-003",
			rule(func(r *ibnbd.ServerRules) { r.AnySize = true })),
		server("flush-has-a-sector", "checks the sector of a flush", "IBNBD-IO-004",
			rule(func(r *ibnbd.ServerRules) { r.FlushChecksSector = true })),
		server("fua-read-fails", "refuses a read with the flag FUA", "IBNBD-IO-010",
			rule(func(r *ibnbd.ServerRules) { r.FUAOnReadFails = true })),
		server("unknown-operation-reads", "takes unknown operations for reads", "IBNBD-IO-011",
			rule(func(r *ibnbd.ServerRules) { r.UnknownOpReads = true })),
		server("no-unknown-flags", "refuses unknown flags", "IBNBD-IO-012",
			answers(ibtrs.EOPNOTSUPP, func(w *request) bool {
				return w.is(ibnbd.TypeIO) && ioOpFlags.get(w.header)&^knownFlags != 0
			})),
		server("write-as-read", "performs a write that comes as a transport read", "IBNBD-IO-013",
			rule(func(r *ibnbd.ServerRules) { r.AnyDirection = true })),
		server("read-as-write", "performs a read that comes as a transport write", "IBNBD-IO-014",
			rule(func(r *ibnbd.ServerRules) { r.AnyDirection = true })),
		server("writes-read-only", "writes to a device that was opened for reading", "IBNBD-IO-015",
			rule(func(r *ibnbd.ServerRules) { r.WriteReadOnly = true })),
		server("discards-read-only", "lets everything but writes change a device that was opened for reading", "IBNBD-IO-015",
			rule(func(r *ibnbd.ServerRules) { r.DiscardReadOnly = true })),
		server("becomes-writable", "lets a session write a device that it opens again for writing, beside a writer", "IBNBD-IO-015",
			rule(func(r *ibnbd.ServerRules) { r.Upgrade = true })).alsoBreaks("IBNBD-OPEN-033"),
		server("sectors-of-32-bits", "cuts the number of a sector to 32 bits", "IBNBD-IO-016", misreads(func(w *request) {
			if w.is(ibnbd.TypeIO) {
				ioSector.set(w.header, ioSector.get(w.header)&0xFFFFFFFF)
			}
		})),
		server("no-end", "answers what lies behind the end with success", "IBNBD-IO-016",
			rule(func(r *ibnbd.ServerRules) { r.IgnoreEnd = true })),
		server("honours-io-mode", "honours the byte that version 2 does not have", "IBNBD-COMPAT-005",
			rule(func(r *ibnbd.ServerRules) { r.HonourIOModeByte = true })),
		server("tail-must-be-zero", "refuses IO messages whose tail is set", "IBNBD-IO-018",
			answers(ibtrs.EINVAL, func(w *request) bool { return w.is(ibnbd.TypeIO) && nonzero(ioTail, w.header) })),
	}
}
