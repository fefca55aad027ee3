// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// initiators are all mutants of the reference's initiator.
func initiators() []mutant.Mutant {
	return slices.Concat(initiatorLogins(), initiatorUnits(), initiatorLosses(), initiatorReturns(), initiatorLoginStrings(), initiatorKeys())
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
		patient("srp-deaf-to-logout", "does nothing when the target logs out", "SRP-LOGOUT-003", func(r *srp.InitiatorRules) { r.IgnoreLogout = true }),
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

// Names of provocations that must find mutants which others find by another clause.
const (
	outage, failing, twoTargets = "a target rejects twelve logins", "a target is away for longer than fast_io_fail_tmo",
		"one of two targets does not answer logins"
)

func initiatorLosses() []mutant.Mutant {
	removes := func(r *srp.InitiatorRules) { r.RemoveOnFail = true }
	offline := func(r *srp.InitiatorRules) { r.KeepOffline = true }
	return []mutant.Mutant{
		breaks("srp-lost-not-failed", "is lost when it should be fail-fast", "SRP-STATE-001", removes, failing),
		breaks("srp-never-blocked", "fails at once instead of being blocked", "SRP-STATE-002", func(r *srp.InitiatorRules) { r.FailAtOnce = true }),
		breaks("srp-fails-early", "fails I/O before fast_io_fail_tmo", "SRP-TMO-011", func(r *srp.InitiatorRules) { r.FailAtOnce = true }, failing),
		breaks("srp-never-fails", "does not fail I/O at fast_io_fail_tmo", "SRP-TMO-004", func(r *srp.InitiatorRules) { r.NeverFail = true }, failing),
		breaks("srp-holds-offline", "holds I/O of a port that is fail-fast", "SRP-STATE-014", func(r *srp.InitiatorRules) { r.HoldOffline = true }),
		breaks("srp-offline-for-ever", "has disks offline when the port is back", "SRP-STATE-005", offline),
		breaks("srp-fails-for-ever", "fails I/O when the port is back", "SRP-STATE-007", offline),
		breaks("srp-other-disk", "does not have the same disk after an outage", "SRP-STATE-006", offline),
		breaks("srp-waits-for-attempt", "does not fail I/O while it logs in", "SRP-TMO-010", func(r *srp.InitiatorRules) { r.WaitForAttempt = true }),
		breaks("srp-refuses-blocked", "refuses I/O while it is blocked", "SRP-STATE-015", func(r *srp.InitiatorRules) { r.RefuseBlocked = true }),
		breaks("srp-removes-later", "goes by dev_loss_tmo after it has come back", "SRP-STATE-011", func(r *srp.InitiatorRules) { r.KeepLossTimer = true }),
		timed("srp-dev-loss", "removes ports by default", "SRP-STATE-010", func(cfg *srp.PortConfig) { cfg.Timers.DevLoss = time.Minute }),
		breaks("srp-removes-port", "removes ports that are lost", "SRP-STATE-008", removes, outage),
		breaks("srp-removes-disks", "removes disks that are lost", "SRP-STATE-009", removes, outage),
		breaks("srp-completes-lost", "completes commands that were lost", "SRP-RECON-022", func(r *srp.InitiatorRules) { r.DropOnLoss = true }),
		breaks("srp-forgets-data", "does not read what was written before", "SRP-RECON-021", forgetful),
		timed("srp-never-probes-target", "does not notice a loss while it is idle", "SRP-TMO-013", func(cfg *srp.PortConfig) { cfg.Timers.Probe = srp.Off }),
		breaks("srp-waits-for-answers", "waits for answers to commands for ever", "SRP-TM-008", func(r *srp.InitiatorRules) { r.NoCommandLimit = true }),
		patient("srp-waits-for-abort", "waits for the answer to an abort for ever", "SRP-TM-007", func(r *srp.InitiatorRules) { r.NoTaskLimit = true }),
		timed("srp-long-logout", "waits a minute for the answer to a logout", "SRP-LOGOUT-008", func(cfg *srp.PortConfig) { cfg.LogoutTime = time.Minute }),
	}
}

// forgetful loses what was written before the loss, when it is read again after the read that was in flight.
func forgetful(r *srp.InitiatorRules) {
	const before = 5 // of the stamps
	var reads atomic.Int64
	r.EditData = func(data []byte) {
		if len(data) < stamp.Sector {
			return
		}
		if s, _, err := stamp.Read(data[:stamp.Sector]); err == nil && s.Sequence == before && reads.Add(1) > 1 {
			clear(data)
		}
	}
}

func initiatorReturns() []mutant.Mutant {
	noLimit := func(r *srp.InitiatorRules) { r.NoAttemptLimit = true }
	return []mutant.Mutant{
		breaks("srp-no-reconnect", "does not log in again", "SRP-RECON-001", func(r *srp.InitiatorRules) { r.NoReconnect = true }),
		breaks("srp-gives-up-on-shut", "does not log in again where nobody listened", "SRP-RECON-016", func(r *srp.InitiatorRules) { r.GiveUpOnReject = true }),
		breaks("srp-ten-attempts", "gives up after ten attempts", "SRP-RECON-002", func(r *srp.InitiatorRules) { r.MostAttempts = 10 }),
		breaks("srp-gives-up-on-reject", "does not log in again after a reject", "SRP-RECON-014", func(r *srp.InitiatorRules) { r.GiveUpOnReject = true }, outage),
		breaks("srp-late-attempt", "begins the first attempt a minute late", "SRP-RECON-010", func(r *srp.InitiatorRules) { r.Pause = time.Minute }, outage),
		timed("srp-growing-pause", "pauses for longer and longer", "SRP-RECON-006", func(cfg *srp.PortConfig) { cfg.Timers.ReconnectDelayMax = time.Hour }),
		timed("srp-longer-pause", "pauses for longer than reconnect_delay_max", "SRP-RECON-029", func(cfg *srp.PortConfig) { cfg.Timers.ReconnectDelayMax = time.Hour }),
		breaks("srp-old-session", "logs in again only where its session is known", "SRP-RECON-015", func(r *srp.InitiatorRules) { r.WantsOldSession = true }),
		breaks("srp-loses-in-login", "completes commands that are lost right after a login", "SRP-RECON-019", func(r *srp.InitiatorRules) { r.DropOnLoss = true }),
		breaks("srp-no-cancel", "does not cancel an attempt upon a delete", "SRP-RECON-018", func(r *srp.InitiatorRules) { r.NoCancel = true }),
		breaks("srp-endless-attempt", "waits for the answer to a login for ever", "SRP-RECON-009", noLimit),
		breaks("srp-attempt-limit", "does not end an attempt in time", "SRP-RECON-030", noLimit),
		breaks("srp-delays-others", "lets one target keep another from its attempt", "SRP-RECON-007", noLimit, twoTargets),
		breaks("srp-no-turn", "gives no turn to a target behind one that does not answer", "SRP-RECON-008", noLimit, twoTargets),
		breaks("srp-three-attempts", "gives up after three attempts", "SRP-RECON-011", func(r *srp.InitiatorRules) { r.MostAttempts = 3 }),
		breaks("srp-counts-on", "does not count failures from 0 after a success", "SRP-RECON-023", func(r *srp.InitiatorRules) { r.KeepFailures = true }),
		breaks("srp-fixed-timers", "does not change the timer of a port that is lost", "SRP-TMO-017", func(r *srp.InitiatorRules) { r.FixedTimers = true }),
		breaks("srp-any-timers", "takes any combination of timers", "SRP-TMO-002", func(r *srp.InitiatorRules) { r.AnyTimers = true }),
		breaks("srp-ignores-timers", "does not take timers that are set", "SRP-TMO-001", func(r *srp.InitiatorRules) { r.IgnoreTimers = true }),
	}
}

// lax makes a mutant that reads login strings otherwise: words of it are replaced before.
func lax(name, what, clause string, replace ...string) mutant.Mutant {
	return initiator(name, what, clause, func(s *loopback.InitiatorSettings) {
		s.Login = func(text string) (srp.LoginString, error) {
			for i := 0; i < len(replace); i += 2 {
				if strings.HasSuffix(text, replace[i]) {
					text = strings.TrimSuffix(text, replace[i]) + replace[i+1]
				}
			}
			return srp.ParseLoginString(text)
		}
	})
}

func initiatorLoginStrings() []mutant.Mutant {
	return []mutant.Mutant{
		lax("srp-unknown-parameter", "takes a parameter that it does not know", "SRP-SYSFS-004", ",color=blue", ""),
		lax("srp-value-out-of-range", "takes values that cannot be", "SRP-SYSFS-003", ",queue_size=0", ""),
		initiator("srp-no-guid", "makes up what a login string lacks", "SRP-SYSFS-005", func(s *loopback.InitiatorSettings) {
			s.Login = func(text string) (srp.LoginString, error) {
				if !strings.Contains(text, "ioc_guid=") {
					text += ",ioc_guid=1"
				}
				return srp.ParseLoginString(text)
			}
		}),
		initiator("srp-usual-port", "takes the usual port where none is given", "SRP-SYSFS-006", func(s *loopback.InitiatorSettings) {
			s.Login = func(text string) (srp.LoginString, error) {
				if _, dest, _ := strings.Cut(text, "dest="); dest != "" && !strings.Contains(dest, ":") {
					text += ":5555"
				}
				return srp.ParseLoginString(text)
			}
		}),
		breaks("srp-adds-twice", "adds a target that is connected already", "SRP-SYSFS-007", func(r *srp.InitiatorRules) { r.AddTwice = true }),
		breaks("srp-endless-add", "waits for the answer to the first login for ever", "SRP-SYSFS-009", func(r *srp.InitiatorRules) { r.NoAttemptLimit = true }),
		breaks("srp-attempt-after-delete", "logs in after a delete", "SRP-SYSFS-013", func(r *srp.InitiatorRules) { r.NoCancel = true }),
	}
}

func initiatorKeys() []mutant.Mutant {
	return []mutant.Mutant{
		breaks("srp-keeps-keys", "does not take keys back", "SRP-DATA-004", func(r *srp.InitiatorRules) { r.KeepKeys = true }),
		breaks("srp-frees-given-up", "uses memory again before the response", "SRP-DATA-005", func(r *srp.InitiatorRules) { r.FreeGivenUp = true }),
		breaks("srp-any-reject", "takes any reject for one of the target", "SRP-LOGIN-021", func(r *srp.InitiatorRules) { r.AnyReject = true }),
		breaks("srp-no-stale-retry", "gives up when its connection is taken for an old one", "SRP-LOGIN-034", func(r *srp.InitiatorRules) { r.NoStaleRetry = true }),
		breaks("srp-probes-by-command", "probes by a command", "SRP-TMO-014", func(r *srp.InitiatorRules) { r.ProbeByCommand = true }),
		breaks("srp-one-keeps-all", "lets a target that does not answer keep all others away", "SRP-RECON-012", func(r *srp.InitiatorRules) { r.NoAttemptLimit = true }),
	}
}
