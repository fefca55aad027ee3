// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// blockRule makes a client with a rule of the block protocol turned off.
func blockRule(turn func(r *ibnbd.ClientRules)) func(*ibnbd.ClientConfig) {
	return func(cfg *ibnbd.ClientConfig) { turn(&cfg.Rules) }
}

// Fields of replies.
var (
	sessMarker    = of(ibnbd.Layout, "sess_info_rsp", "marker")
	replyDeviceID = of(ibnbd.Layout, "open_rsp", "device_id")
)

// spoiled makes a reply one that no client takes.
func spoiled(message []byte) { binary.LittleEndian.PutUint16(message, 9) }

// opensIn has every OPEN ask for an I/O mode.
func opensIn(mode ibnbd.IOMode) func(*ibtrs.Path, uint32, *rdma.SendWR, []byte) {
	return func(_ *ibtrs.Path, _ uint32, _ *rdma.SendWR, message []byte) {
		if blockType.get(message) == ibnbd.TypeOpen {
			openIOMode.set(message, uint64(mode))
		}
	}
}

// clientBlocks are mutants of the block protocol of a client.
func clientBlocks() []row {
	return []row{
		misled("no-reserved-bits-in-replies", "refuses a reply whose padding is set", "IBNBD-MSG-010", func(f *filter) {
			f.alterReplies(ibnbd.SessInfoSize, func(m []byte) {
				if nonzero(blockPadding, m) {
					spoiled(m)
				}
			})
		}),
		misled("no-device-zero", "takes no device with number 0", "IBNBD-OPEN-014", func(f *filter) {
			f.alterReplies(ibnbd.OpenResponseSize, func(m []byte) {
				if replyDeviceID.get(m) == 0 {
					spoiled(m)
				}
			})
		}),
		client("blocks-of-no-size", "takes a device whose blocks have no size", "IBNBD-OPEN-020",
			blockRule(func(r *ibnbd.ClientRules) { r.IgnoreZeroBlock = true })),
		client("keeps-late-devices", "keeps what was opened for a device that was unmapped meanwhile", "IBNBD-OPEN-031",
			blockRule(func(r *ibnbd.ClientRules) { r.KeepLateOpen = true })),
		misled("full-is-eio", "reports EIO whatever a request was answered with", "IBNBD-IO-028", func(f *filter) {
			f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if id, errno, invalidated, ok := imm.Response(); ok && errno == ibtrs.ENOSPC {
					imm, _ = ibtrs.ResponseImmediate(id, ibtrs.EIO, invalidated)
				}
				return imm
			})
		}),
		client("files-by-default", "asks for file I/O, whatever its user says", "IBNBD-SYSFS-009",
			transportRule(func(r *ibtrs.ClientRules) { r.EditRequest = opensIn(ibnbd.FileIO) })),
		client("blocks-always", "asks for block I/O, whatever its user says", "IBNBD-OPEN-034",
			transportRule(func(r *ibtrs.ClientRules) { r.EditRequest = opensIn(ibnbd.BlockIO) })),
		client("never-closes", "never sends CLOSE", "IBNBD-MSG-018",
			blockRule(func(r *ibnbd.ClientRules) { r.NoClose = true })).alsoBreaks("IBNBD-OPEN-020"),
		client("flushes-later", "ends a flush before it is answered", "IBNBD-IO-026",
			blockRule(func(r *ibnbd.ClientRules) { r.FlushEarly = true })),
		misled("refused-open-is-eio", "reports EIO whatever OPEN was refused with", "IBNBD-OPEN-026", func(f *filter) {
			f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if id, errno, invalidated, ok := imm.Response(); ok && errno == ibtrs.ENOENT {
					imm, _ = ibtrs.ResponseImmediate(id, ibtrs.EIO, invalidated)
				}
				return imm
			})
		}),
		misled("takes-any-reply", "takes a reply of any type", "IBNBD-OPEN-027", func(f *filter) {
			f.alterReplies(ibnbd.OpenResponseSize, func(m []byte) { binary.LittleEndian.PutUint16(m, ibnbd.TypeOpenResponse) })
		}),
		misled("failure-is-success", "takes an error number of I/O for success", "IBNBD-IO-023", func(f *filter) {
			f.alterImmediates(func(imm ibtrs.Immediate) ibtrs.Immediate {
				if id, _, invalidated, ok := imm.Response(); ok {
					imm, _ = ibtrs.ResponseImmediate(id, 0, invalidated)
				}
				return imm
			})
		}),
		misled("needs-the-marker", "refuses a server that answers no marker", "IBNBD-COMPAT-007", func(f *filter) {
			f.alterReplies(ibnbd.SessInfoSize, func(m []byte) {
				if !bytes.Equal(m[sessMarker.Offset:sessMarker.End()], ibnbd.Marker[:]) {
					spoiled(m)
				}
			})
		}),
		client("never-flushes", "never sends a flush", "IBNBD-COMPAT-008",
			blockRule(func(r *ibnbd.ClientRules) { r.NoFlush = true })).alsoBreaks("IBNBD-COMPAT-011"),
		client("trusts-uncleared-bytes", "believes bytes of a reply that was not cleared", "IBNBD-COMPAT-011",
			blockRule(func(r *ibnbd.ClientRules) { r.TrustUnclearedByte = true })),
		client("keeps-device-ids", "goes on using the device id of before a reconnect", "IBNBD-FAIL-002",
			blockRule(func(r *ibnbd.ClientRules) { r.KeepDeviceID = true })),
		client("keeps-the-capacity", "does not take the capacity of a device that was opened again", "IBNBD-FAIL-003",
			blockRule(func(r *ibnbd.ClientRules) { r.KeepCapacity = true })),
		client("opens-nothing-again", "does not open its devices again after a reconnect", "IBNBD-FAIL-004",
			blockRule(func(r *ibnbd.ClientRules) { r.NoRemap = true })),
	}
}
