// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
)

// tests has the judge of this package tested.
var tests = audittest.Judge{Protocol: Protocol}

// Captures of mainline Linux.
const (
	loginCapture = "srp-login-io-logout.pcap"
	channels     = "srp-two-channels-indirect.pcap"
	reconnect    = "srp-four-targets-reconnect.pcap"
)

func load(tb testing.TB, name string) audittest.Capture {
	tb.Helper()
	return tests.Load(tb, audittest.Mainline(name)...)
}

// TestTimeline finds what the notes of the captures say was done, in order.
func TestTimeline(t *testing.T) {
	lines := tests.Timeline(t, load(t, loginCapture))
	audittest.ExpectInOrder(t, lines, []string{
		`login request, .* flags 0x80`,
		`rejected by the target: consumer reject, insufficient RDMA channel resources`,
		`login request`,
		`login accepted, request limit 128, flags 0x80`,
		`channel is up`,
		`READ\(10\) 8 blocks at block \d+ on LUN 0, .* status 0`,
		`WRITE\(10\) 8 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 8 blocks at block 24 on LUN 0, .* status 0`,
		`WRITE\(10\) 16 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 96 blocks at block 0 on LUN 0, .* status 0`,
		`WRITE\(10\) 32 blocks at block 96 on LUN 0, .* status 0`,
		`INQUIRY on LUN 0, .* status 0, data-in residual 159`,
		`SERVICE ACTION IN\(16\) on LUN 0, .* status 0, data-in residual 4064`,
		`logical unit reset on LUN 0, .* response code 0`,
		`initiator asks for disconnection`,
		`disconnected`,
	})
	audittest.ExpectInOrder(t, lines, []string{`READ\(\d+\) \d+ blocks at block \d+ on LUN 0, .* status 2, sense 5/21/00`})
	audittest.ExpectInOrder(t, tests.Timeline(t, load(t, channels)), []string{
		`rejected by the target: invalid service id`,
		`rejected by the target: consumer reject, insufficient RDMA channel resources`,
		`login accepted, request limit \d+, flags 0x80`,
		`login accepted, request limit \d+, flags 0x82`,
		`WRITE\(10\) 64 blocks at block \d+ on LUN 0, .* status 0`,
	})
}

// TestSessions: channels are told apart by the two ports that they join.
func TestSessions(t *testing.T) {
	for name, want := range map[string][]string{
		loginCapture: {"0000000000000000:505400fffe000002@505400fffe000001"},
		channels:     {"0000000000000000:505400fffe000002@505400fffe000001"},
		reconnect: {
			"0000000000000001:505400fffe000002@505400fffe000001", "0000000000000002:505400fffe000002@505400fffe000001",
			"0000000000000003:505400fffe000002@505400fffe000001", "0000000000000004:505400fffe000002@505400fffe000001",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var sessions []string
			report := tests.Run(t, load(t, name), audit.Configuration{}, func(e *audit.Event) {
				if e.Detail == nil || e.Detail.SessionName() == "" {
					return
				}
				if s := e.Detail.SessionName(); !slices.Contains(sessions, s) {
					sessions = append(sessions, s)
				}
			})
			if slices.Sort(sessions); !slices.Equal(sessions, want) {
				t.Errorf("sessions are %q, want %q", sessions, want)
			}
			for _, line := range report.Statistics {
				if !slices.Contains(want, line.Session) {
					t.Errorf("the statistics of %s are of session %q, want one of %q", line.Path, line.Session, want)
				}
			}
		})
	}
}

// knownFindings explains every clause that mainline breaks in the captures.
var knownFindings = map[string]map[string]string{
	loginCapture: {
		"SRP-CMD-011":    "ib_srp leaves the 16 bytes between the descriptor and immediate data as they were in its buffer",
		"SRP-LOGOUT-001": "ib_srp ends a channel with DREQ alone",
	},
	channels: {
		"SRP-CMD-011":    "as in the other capture",
		"SRP-LOGOUT-001": "as in the other capture",
	},
	reconnect: {
		"SRP-RECON-004": "after the link was cut, ib_srp asks for four connections within 12 ms, and goes on with all of them in step",
	},
}

func TestFindingsOnMainline(t *testing.T) {
	for name, known := range knownFindings {
		t.Run(name, func(t *testing.T) { tests.Findings(t, load(t, name), known) })
	}
}

// TestEveryRequestIsAnswered: the captures are complete, so every request has its answer.
func TestEveryRequestIsAnswered(t *testing.T) {
	for _, name := range []string{loginCapture, channels} {
		t.Run(name, func(t *testing.T) {
			tests.EveryRequestIsAnswered(t, load(t, name), on(CommandSent, TaskManagement), on(CommandAnswered, TaskManagementAnswered),
				on(CommandUnanswered, UnknownAnswer, StrayUnit))
		})
	}
}

func TestEveryClauseHasARule(t *testing.T) { tests.EveryClauseHasARule(t) }

func TestDamageNeverBlames(t *testing.T) {
	for _, name := range []string{loginCapture, channels, reconnect} {
		t.Run(name, func(t *testing.T) { tests.Damage(t, load(t, name)) })
	}
}

func TestDoubled(t *testing.T) { tests.Doubled(t, load(t, loginCapture)) }

func TestClockSteps(t *testing.T) { tests.ClockSteps(t, load(t, loginCapture)) }

func TestBothEnds(t *testing.T) { tests.BothEnds(t, load(t, loginCapture), "10.0.0.2") }

func FuzzTracker(f *testing.F) { tests.FuzzTracker(f, load(f, loginCapture), load(f, channels)) }
