// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// initiators are all mutants of the reference's initiator.
func initiators() []mutant.Mutant {
	return slices.Concat(initiatorLogins(), initiatorUnits())
}

func initiatorLogins() []mutant.Mutant {
	return []mutant.Mutant{
		breaks("srp-port-extension-last", "has its extension behind its GUID", "SRP-LOGIN-006", editPorts(func(m *srp.LoginReqCM) { exchange(&m.InitiatorPort) })),
		breaks("srp-target-extension-last", "has the target's GUID before its extension", "SRP-LOGIN-008", editPorts(func(m *srp.LoginReqCM) { exchange(&m.TargetPort) })),
		breaks("srp-one-order", "does not exchange the halves of identifiers", "SRP-LOGIN-007", editPorts(func(m *srp.LoginReqCM) {
			if binary.BigEndian.Uint64(m.TargetPort[8:])>>32 == 0x31323334 {
				exchange(&m.TargetPort)
			}
		})),
		breaks("srp-small-receives", "has receives of 128 bytes", "SRP-LOGIN-011", func(r *srp.InitiatorRules) { r.SmallReceives = true }),
		breaks("srp-trusts-rejects", "takes a reason out of what is no reject", "SRP-LOGIN-022", func(r *srp.InitiatorRules) { r.TrustReject = true }),
		breaks("srp-hides-reasons", "does not tell why a login was rejected", "SRP-LOGIN-023", func(r *srp.InitiatorRules) { r.HideReason = true },
			"a login is rejected, reason 0x10003"),
		breaks("srp-any-reply", "takes anything for the answer to a login", "SRP-LOGIN-024", func(r *srp.InitiatorRules) { r.AnyReply = true }),
		breaks("srp-any-limit", "takes one credit for enough, and waits for another", "SRP-LOGIN-025", func(r *srp.InitiatorRules) { r.AnyLimit = true }),
		patient("srp-keeps-other-channel", "goes on with one channel when the other is lost", "SRP-CH-004", func(r *srp.InitiatorRules) { r.KeepOtherChannel = true }),
		breaks("srp-all-channels", "does not do with fewer channels than it wants", "SRP-CH-005", func(r *srp.InitiatorRules) { r.AllChannels = true }),
		breaks("srp-half-made", "leaves a port behind that was lost while it was scanned", "SRP-STATE-013", func(r *srp.InitiatorRules) { r.KeepHalf = true }),
	}
}

func editPorts(change func(*srp.LoginReqCM)) func(*srp.InitiatorRules) {
	return func(r *srp.InitiatorRules) { r.EditLogin = change }
}

// exchange exchanges the halves of an identifier.
func exchange(id *srp.PortID) {
	old := *id
	copy(id[:8], old[8:])
	copy(id[8:], old[:8])
}

// editResponses changes the responses that come.
func editResponses(change func(m *srp.Rsp)) func(*srp.InitiatorRules) {
	return func(r *srp.InitiatorRules) {
		r.EditReceived = func(unit []byte) []byte {
			m, err := srp.ParseRsp(unit)
			if err != nil {
				return unit
			}
			change(&m)
			b, _ := m.AppendBinary(nil)
			return b
		}
	}
}

func initiatorUnits() []mutant.Mutant {
	return []mutant.Mutant{
		breaks("srp-swaps-bytes", "puts data-in together in another order", "SRP-CMD-022", func(r *srp.InitiatorRules) {
			r.EditData = func(data []byte) {
				if n := len(data); n >= 64<<10 {
					data[n-1], data[n-2] = data[n-2], data[n-1]+1
				}
			}
		}),
		breaks("srp-sense-first", "takes sense data from where response data is", "SRP-RSP-003", editResponses(func(m *srp.Rsp) {
			m.Flags &^= srp.RspValid
			m.ResponseLength = 0
		})),
		breaks("srp-sense-outside", "reads sense data behind the end of a response", "SRP-RSP-004", func(r *srp.InitiatorRules) { r.ReadBehindUnit = true },
			"sense data is longer than the response"),
		breaks("srp-all-moved", "takes all data for moved", "SRP-RSP-008", func(r *srp.InitiatorRules) { r.IgnoreResidual = true }),
		breaks("srp-large-residual", "takes a residual that is too large for none", "SRP-RSP-009", func(r *srp.InitiatorRules) { r.BoundedResidual = true }),
		breaks("srp-ignores-code", "looks at the status alone", "SRP-RSP-010", func(r *srp.InitiatorRules) { r.IgnoreCode = true }),
		breaks("srp-drops-unknown-tags", "does not count credits of responses with unknown tags", "SRP-RSP-011", func(r *srp.InitiatorRules) {
			r.EditReceived = func(unit []byte) []byte {
				if m, err := srp.ParseRsp(unit); err == nil && m.Tag[0] == 0xfe {
					return nil
				}
				return unit
			}
		}, "a response with an unknown tag gives credits"),
		breaks("srp-any-tag", "completes the oldest command upon an unknown tag", "SRP-RSP-011", func(r *srp.InitiatorRules) { r.AnyTag = true },
			"a response has an unknown tag"),
		breaks("srp-completes-twice", "completes another command upon a second response", "SRP-RSP-012", func(r *srp.InitiatorRules) { r.AnyTag = true }),
		breaks("srp-short-response", "reads behind the end of a response", "SRP-RSP-013", func(r *srp.InitiatorRules) { r.ReadBehindUnit = true }),
		breaks("srp-foreign-tags", "completes commands upon tags of others", "SRP-ROB-003", func(r *srp.InitiatorRules) { r.AnyTag = true },
			"responses have foreign tags, wrong lengths and unknown types"),
		patient("srp-ignores-logout", "does nothing when the target logs out", "SRP-LOGOUT-003", func(r *srp.InitiatorRules) { r.IgnoreLogout = true }),
		breaks("srp-ignores-credits", "sends commands without credits", "SRP-CRED-003", func(r *srp.InitiatorRules) { r.IgnoreCredits = true }),
		breaks("srp-never-fewer", "does not let its credits be taken away", "SRP-CRED-005", editResponses(func(m *srp.Rsp) {
			m.RequestLimitDelta = max(m.RequestLimitDelta, 0)
		})),
		breaks("srp-one-credit-each", "adds one credit for each response", "SRP-CRED-005", editResponses(func(m *srp.Rsp) { m.RequestLimitDelta = 1 })),
		breaks("srp-wraps-credits", "lets its credits wrap", "SRP-CRED-014", func(r *srp.InitiatorRules) { r.WrapCredits = true }),
		breaks("srp-takes-cut-off", "takes requests that are cut off", "SRP-CRED-010", func(r *srp.InitiatorRules) {
			r.EditReceived = func(unit []byte) []byte {
				if unit[0] == srp.TypeCredReq && len(unit) < srp.CredReqSize {
					return append(unit[:len(unit):len(unit)], make([]byte, srp.CredReqSize-len(unit))...)
				}
				return unit
			}
		}),
	}
}
