// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// targets are all mutants of the reference's target.
func targets() []mutant.Mutant {
	return slices.Concat(targetLogins(), targetCommands(), targetResponses(), targetSessions(), targetOwners())
}

func editLogin(change func(login *srp.LoginReqCM, rsp *srp.LoginRsp)) func(*srp.TargetRules) {
	return func(r *srp.TargetRules) { r.EditLogin = change }
}

func targetLogins() []mutant.Mutant {
	return []mutant.Mutant{
		rule("srp-login-reserved", "does not grant what it should when reserved bytes are set", "SRP-LOGIN-005", editLogin(func(login *srp.LoginReqCM, rsp *srp.LoginRsp) {
			if login.Reserved50 != [6]byte{} {
				rsp.Type = srp.TypeRsp
			}
		}), "a login with reserved bytes set"),
		rule("srp-login-tag", "answers logins with the tag that it likes", "SRP-LOGIN-013", editLogin(func(_ *srp.LoginReqCM, rsp *srp.LoginRsp) { rsp.Tag[7] ^= 1 }), "logins with any tag"),
		rule("srp-reject-tag", "rejects logins with the tag that it likes", "SRP-LOGIN-013", func(r *srp.TargetRules) {
			r.EditReject = func(rej *srp.LoginRej) { rej.Tag[7] ^= 1 }
		}, "logins with any tag"),
		rule("srp-any-length", "takes any IU length", "SRP-LOGIN-015", func(r *srp.TargetRules) { r.AnyIULength = true }),
		rule("srp-length-reason", "rejects an IU length for another reason", "SRP-LOGIN-015", func(r *srp.TargetRules) {
			r.EditReject = func(rej *srp.LoginRej) { rej.Reason = srp.RejectNoDetail }
		}),
		rule("srp-any-target-port", "takes logins to any target port", "SRP-LOGIN-017", func(r *srp.TargetRules) { r.AnyTargetPort = true }),
		rule("srp-any-formats", "takes any required buffer format", "SRP-LOGIN-018", func(r *srp.TargetRules) { r.AnyFormats = true }),
		rule("srp-no-login-rej", "rejects without an SRP_LOGIN_REJ", "SRP-LOGIN-020", func(r *srp.TargetRules) {
			r.EditReject = func(rej *srp.LoginRej) { rej.Type = srp.TypeLoginRsp }
		}),
		rule("srp-keeps-superseded", "keeps channels upon a login of one channel", "SRP-LOGIN-026", func(r *srp.TargetRules) { r.KeepSuperseded = true }),
		rule("srp-multi-result", "says that it has ended channels which it keeps", "SRP-LOGIN-027", editLogin(func(_ *srp.LoginReqCM, rsp *srp.LoginRsp) {
			if rsp.Flags&3 == srp.ChannelsKept {
				rsp.Flags ^= 3
			}
		})),
		rule("srp-first-result", "says that it has ended channels when there were none", "SRP-LOGIN-028", editLogin(func(_ *srp.LoginReqCM, rsp *srp.LoginRsp) {
			if rsp.Flags&3 == srp.ChannelsNone {
				rsp.Flags |= srp.ChannelsTerminated
			}
		}), "a login of another channel"),
		rule("srp-any-immediate-offset", "grants immediate data at any offset", "SRP-LOGIN-031", func(r *srp.TargetRules) { r.AnyImmediateOffset = true }),
		rule("srp-more-credits", "gives more credits than it has receives", "SRP-CRED-002", editLogin(func(_ *srp.LoginReqCM, rsp *srp.LoginRsp) { rsp.RequestLimitDelta += 100 })),
		rule("srp-one-guid", "takes initiator ports of one GUID for one", "SRP-CH-007", func(r *srp.TargetRules) { r.IgnoreExtension = true }),
		rule("srp-refuses-relogin", "refuses an initiator that had vanished", "SRP-LOGOUT-006", func(r *srp.TargetRules) { r.RefuseRelogin = true }),
		waits("srp-half-open-without-limit", "waits for the confirmation of a login for ever", "SRP-TGT-003", attacks.HalfOpen,
			func(s *loopback.Settings) { s.HalfOpen = mutant.ShortWait / 3 }, func(s *loopback.Settings) { s.Rules.NoHalfOpenLimit = true }),
		waits("srp-never-probes", "does not notice that an initiator has vanished", "SRP-LOGOUT-007", attacks.Vanished,
			func(s *loopback.Settings) { s.Probe, s.Vanished = mutant.ShortWait/6, mutant.ShortWait/3 }, func(s *loopback.Settings) { s.Probe = 0 }),
	}
}

// editUnit changes units of a type that have at least a whole command.
func editUnit(kind byte, change func(unit []byte)) func(*srp.TargetRules) {
	return func(r *srp.TargetRules) {
		r.EditUnit = func(unit []byte) {
			if len(unit) >= srp.CmdSize && unit[0] == kind {
				change(unit)
			}
		}
	}
}

// busyInstead answers BUSY where fields are invalid, as Linux 6.12 does, to units that are chosen.
func busyInstead(chosen func(unit []byte) bool) func(*srp.TargetRules) {
	return editResponse(func(unit []byte, rsp *srp.Rsp) {
		if code, ok := rsp.ResponseCode(); ok && code == srp.ResponseInvalidFields && chosen(unit) {
			rsp.Flags, rsp.ResponseLength, rsp.Body, rsp.Status = 0, 0, nil, uint8(scsi.Busy)
		}
	})
}

func editResponse(change func(unit []byte, rsp *srp.Rsp)) func(*srp.TargetRules) {
	return func(r *srp.TargetRules) { r.EditResponse = change }
}

func isImmediate(unit []byte) bool { return unit[5]>>4 == byte(srp.Immediate) }

// isCommand tells whether a unit has a command with one of some operation codes.
func isCommand(unit []byte, codes ...byte) bool {
	return unit[0] == srp.TypeCmd && len(unit) >= srp.CmdSize && slices.Contains(codes, unit[32])
}

// shortAddress clears the upper half of the addresses of a command.
func shortAddress(code byte) func(*srp.TargetRules) {
	return editUnit(srp.TypeCmd, func(unit []byte) {
		if isCommand(unit, code) {
			clear(unit[32+2 : 32+6])
		}
	})
}

func targetCommands() []mutant.Mutant {
	return []mutant.Mutant{
		rule("srp-refuses-reserved", "refuses commands with reserved bytes set", "SRP-LOGIN-005", editUnit(srp.TypeCmd, func(unit []byte) {
			if unit[28]|unit[16]|unit[2] != 0 {
				unit[5] = 0xff
			}
		}), "commands with reserved bytes and solicited events set"),
		rule("srp-refuses-solicited", "refuses commands that ask for solicited events", "SRP-LOGIN-037", editUnit(srp.TypeCmd, func(unit []byte) {
			if unit[1] != 0 {
				unit[5] = 0xff
			}
		})),
		rule("srp-add-cdb-length", "counts the reserved bits of the additional length", "SRP-CMD-004", editUnit(srp.TypeCmd, func(unit []byte) { unit[31] += unit[31] & 3 * 4 })),
		rule("srp-short-cdb", "refuses command blocks of 32 bytes", "SRP-CMD-005", editUnit(srp.TypeCmd, func(unit []byte) {
			if unit[32] == 0x7f {
				unit[31] = 0
				unit[5] = 0xff
			}
		})),
		rule("srp-no-partial-lists", "answers BUSY to partial lists", "SRP-CMD-008", func(r *srp.TargetRules) { r.NoPartialLists = true }),
		rule("srp-in-before-out", "takes the first of two descriptors for data-in", "SRP-CMD-009", func(r *srp.TargetRules) { r.InBeforeOut = true }),
		rule("srp-busy-immediate", "answers BUSY to immediate data that is not there", "SRP-CMD-012", busyInstead(isImmediate)),
		rule("srp-busy-format", "answers BUSY to reserved formats", "SRP-CMD-013", busyInstead(func(unit []byte) bool { return !isImmediate(unit) }), "reserved descriptor formats"),
		rule("srp-tag-31-bits", "gives back tags without their first bit", "SRP-CMD-015", editResponse(func(_ []byte, rsp *srp.Rsp) { rsp.Tag[0] &= 0x7f })),
		rule("srp-drops-attributes", "drops commands of reserved attributes", "SRP-CMD-017", func(r *srp.TargetRules) {
			r.Drop = func(_ *srp.TargetChannel, unit []byte) bool {
				return unit[0] == srp.TypeCmd && len(unit) > 29 && unit[29] > 4
			}
		}),
		rule("srp-reads-behind", "reads behind the end of a unit", "SRP-CMD-018", func(r *srp.TargetRules) { r.ReadBehindUnit = true }, "commands that are cut off"),
		rule("srp-ends-on-unknown", "closes the channel upon a unit of unknown type", "SRP-CMD-019", func(r *srp.TargetRules) { r.EndOnUnknownType = true }, "units of unknown type"),
		rule("srp-unknown-unit", "says of unknown units that a field is wrong", "SRP-CMD-020", editResponse(func(_ []byte, rsp *srp.Rsp) {
			if s, ok := scsi.ParseSense(rsp.Sense()); ok && s.Code == scsi.LogicalUnitNotSupported {
				s.Code = scsi.InvalidFieldInCDB
				rsp.Body = s.AppendFixed(nil)
			}
		}), "commands to unknown logical units"),
		rule("srp-lists-others", "lists a unit that nobody can use", "SRP-CMD-021", editData(func(_ *srp.TargetChannel, unit, data []byte) {
			if isCommand(unit, scsi.OpReportLUNs) && len(data) >= 24 {
				data[23]++
			}
		})),
		rule("srp-beside-buffer", "writes all that a command has", "SRP-DATA-002", func(r *srp.TargetRules) { r.IgnoreBufferLength = true }, "reads into less memory than they want"),
		rule("srp-executes-unread", "executes a write whose data could not be read", "SRP-DATA-007", func(r *srp.TargetRules) { r.ExecuteUnread = true }),
		rule("srp-writes-elsewhere", "writes blocks elsewhere than they were read", "SRP-TGT-004", editUnit(srp.TypeCmd, func(unit []byte) {
			if unit[32] == scsi.OpWrite16 {
				unit[32+9]++
			}
		}), "writes and reads of all sizes and formats"),
		rule("srp-short-read-address", "reads at the lower 32 bits of an address", "SRP-TGT-004", shortAddress(scsi.OpRead16),
			"reads of blocks that a unit does not have"),
		rule("srp-short-write-address", "writes at the lower 32 bits of an address", "SRP-TGT-004", shortAddress(scsi.OpWrite16),
			"writes of blocks that a unit does not have"),
		rule("srp-no-disk", "is a tape", "SRP-TGT-004", editData(func(_ *srp.TargetChannel, unit, data []byte) {
			if isCommand(unit, scsi.OpInquiry) {
				data[0] = 1
			}
		}), "the commands by which a disk is found"),
		rule("srp-identifier-of-port", "names a unit by its port", "SRP-TGT-008", editData(func(c *srp.TargetChannel, unit, data []byte) {
			if isCommand(unit, scsi.OpInquiry) && unit[33] == 1 && unit[34] == 0x83 && len(data) > 15 {
				data[15] ^= c.RemoteAddr().Addr().As4()[3]
			}
		})),
		target("srp-takes-damage", "does not look at checksums", "SRP-ROB-002", func(s *loopback.Settings) { s.Device.Rules.IgnoreICRC = true }, "packets that are damaged"),
	}
}

func editData(change func(c *srp.TargetChannel, unit, data []byte)) func(*srp.TargetRules) {
	return func(r *srp.TargetRules) { r.EditData = change }
}

func targetResponses() []mutant.Mutant {
	good := func(rsp *srp.Rsp) bool { return rsp.Status == 0 && rsp.Flags == 0 }
	return []mutant.Mutant{
		rule("srp-response-data", "puts response data into good responses", "SRP-RSP-001", editResponse(func(unit []byte, rsp *srp.Rsp) {
			if unit[0] == srp.TypeCmd && good(rsp) {
				rsp.SetResponseCode(srp.ResponseOK)
			}
		}), "commands that succeed"),
		rule("srp-target-hides-sense", "sends sense data without its flag", "SRP-RSP-002", editResponse(func(_ []byte, rsp *srp.Rsp) {
			if s, ok := scsi.ParseSense(rsp.Sense()); ok && s.Code == scsi.LBAOutOfRange {
				rsp.Flags &^= srp.SenseValid
			}
		}), "commands that fail"),
		rule("srp-residual-in", "counts one byte too much of an underflow", "SRP-RSP-005", editResponse(func(_ []byte, rsp *srp.Rsp) {
			if rsp.Flags&srp.DataInUnder != 0 {
				rsp.DataInResidual++
			}
		}), "more memory than a command fills"),
		rule("srp-residual-out", "does not tell that a write took less", "SRP-RSP-006", editResponse(func(_ []byte, rsp *srp.Rsp) {
			rsp.Flags &^= srp.DataOutUnder
		})),
		rule("srp-overflow", "does not tell of overflows", "SRP-RSP-007", editResponse(func(_ []byte, rsp *srp.Rsp) {
			rsp.Flags &^= srp.DataInOver | srp.DataOutOver
		})),
		rule("srp-answers-first", "responds before the data is there", "SRP-RSP-014", func(r *srp.TargetRules) { r.AnswerFirst = true }),
		rule("srp-drops-reads", "drops a read when there are many", "SRP-RSP-015", func(r *srp.TargetRules) {
			var reads atomic.Int64
			r.Drop = func(_ *srp.TargetChannel, unit []byte) bool {
				return isCommand(unit, scsi.OpRead10) && reads.Add(1)%20 == 0
			}
		}),
		rule("srp-loses-credits", "keeps the credit of a command that was aborted", "SRP-CRED-009", func(r *srp.TargetRules) { r.LoseCredits = true }),
		rule("srp-answers-aborted", "answers a command after its abort", "SRP-TM-002", func(r *srp.TargetRules) { r.AnswerAborted = true }, "the abort of a command that waits for its data"),
		rule("srp-unknown-tag", "fails to abort an unknown tag", "SRP-TM-003", func(r *srp.TargetRules) { r.FailUnknownTag = true }),
		rule("srp-reset-clears", "reports a reset as a cleared task set", "SRP-TM-004", func(r *srp.TargetRules) { r.ResetClears = true }),
		rule("srp-unknown-function", "says of unknown functions that they failed", "SRP-TM-005", editResponse(func(_ []byte, rsp *srp.Rsp) {
			if code, ok := rsp.ResponseCode(); ok && code == srp.ResponseTMUnsupported {
				rsp.SetResponseCode(srp.ResponseTMFailed)
			}
		})),
	}
}

func targetSessions() []mutant.Mutant {
	return []mutant.Mutant{
		rule("srp-abort-across-channels", "aborts commands of other channels", "SRP-CH-003", func(r *srp.TargetRules) { r.AbortAcrossChannels = true }),
		rule("srp-answers-logout", "answers a logout", "SRP-LOGOUT-002", func(r *srp.TargetRules) { r.AnswerLogout = true }),
		rule("srp-ignores-logout", "goes on after a logout", "SRP-LOGOUT-009", func(r *srp.TargetRules) { r.IgnoreLogout = true }),
		rule("srp-keeps-disconnected", "does not forget channels that have ended", "SRP-LOGOUT-005", func(r *srp.TargetRules) { r.KeepDisconnected = true }),
		rule("srp-fails-together", "ends all channels when one fails", "SRP-TGT-002", func(r *srp.TargetRules) { r.FailTogether = true }, "reads into memory that cannot be written"),
		rule("srp-serves-no-new-initiator", "serves nobody after a few commands", "SRP-TGT-001", func(r *srp.TargetRules) {
			var commands atomic.Int64
			r.Drop = func(*srp.TargetChannel, []byte) bool { return commands.Add(1) > 100 }
		}, "many logins and disconnects", "commands that are cut off"),
		rule("srp-hangs-on-cut-units", "hangs when a unit is cut off", "SRP-ROB-001", func(r *srp.TargetRules) {
			var cut atomic.Bool
			r.Drop = func(_ *srp.TargetChannel, unit []byte) bool {
				if len(unit) < srp.CmdSize {
					cut.Store(true)
				}
				return cut.Load()
			}
		}),
	}
}

func targetOwners() []mutant.Mutant {
	const disabled, denied, gives = "logins while the target port is disabled", "a login without access", "credits that the target gives by itself"
	return []mutant.Mutant{
		owned(disabled, "srp-ignores-disabled", "takes logins while its port is disabled", "SRP-LOGIN-016", func(r *srp.TargetRules) { r.IgnoreDisabled = true }),
		owned(disabled, "srp-never-disabled", "cannot be disabled", "SRP-TGT-006", func(*srp.TargetRules) {}, attacks.Disable),
		owned(denied, "srp-any-initiator", "lets initiators in that have no access", "SRP-LOGIN-019", func(r *srp.TargetRules) { r.AnyInitiator = true }),
		owned(gives, "srp-counts-answers", "lets an answer use up a receive", "SRP-CRED-008", func(r *srp.TargetRules) { r.CountAnswers = true }),
		owned(gives, "srp-gives-no-credits", "never sends an SRP_CRED_REQ", "SRP-TGT-005", func(*srp.TargetRules) {}, attacks.GiveCredits),
	}
}
