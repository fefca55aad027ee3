// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"maps"
	"slices"
)

// Reason is a code that says why a clause has a verdict other than PASS. Codes are stable: people count and filter by
// them. Each belongs to one verdict, see [Reason.Meaning]; a result whose code does not fit its verdict is refused.
type Reason string

// Why a clause was skipped.
const (
	NoHook         Reason = "no-hook"
	NoConsent      Reason = "no-consent"
	NeedsLab       Reason = "needs-lab"
	NotSelected    Reason = "not-selected"
	NoSecondPath   Reason = "no-second-path"
	NoDevice       Reason = "no-device"
	NoTool         Reason = "no-tool"
	AbilityMissing Reason = "ability-missing"
	NotReached     Reason = "not-reached"
	NotSeen        Reason = "not-seen"
	NothingLost    Reason = "nothing-lost"
	Undecidable    Reason = "undecidable"
	// OtherConfiguration is of clauses that no single run can judge.
	OtherConfiguration Reason = "other-configuration"
	NoSpec             Reason = "no-spec"
)

// Why a clause does not apply.
const (
	OtherRole    Reason = "other-role"
	OtherDialect Reason = "other-dialect"
	LacksAbility Reason = "lacks-ability"
)

// Why nothing could be concluded.
const (
	TransportFailed Reason = "transport-failed"
	HostDied        Reason = "host-died"
	CaptureGap      Reason = "capture-gap"
	ClocksApart     Reason = "clocks-apart"
	NoClock         Reason = "no-clock"
	SlowHost        Reason = "slow-host"
	NotReady        Reason = "not-ready"
)

// Why the suite is at fault.
const (
	Panicked    Reason = "panicked"
	SetupFailed Reason = "setup-failed"
	Interrupted Reason = "interrupted"
	SuiteBug    Reason = "suite-bug"
)

// Why a clause counts as broken.
const (
	AssertionFailed   Reason = "assertion"
	BoundExceeded     Reason = "bound-exceeded"
	ProtocolViolation Reason = "protocol-violation"
	SpecTimedOut      Reason = "timed-out"
	SubjectDead       Reason = "subject-dead"
	KernelLogReport   Reason = "kernel-log"
	LeftBehind        Reason = "left-behind"
)

// reasons maps each code to the verdict that it belongs to and to its meaning.
var reasons = map[Reason]struct {
	verdict Verdict
	meaning string
}{
	NoHook:             {Skip, "needs an action that only the subject's owner can do, and no control hook does it"},
	NoConsent:          {Skip, "needs writes, data loss or an outage that were not allowed (--allow-writes, --allow-data-loss, --allow-outage)"},
	NeedsLab:           {Skip, "is decided in the lab alone, where the suite controls both machines and the network between them"},
	NotSelected:        {Skip, "left out by the selection"},
	NoSecondPath:       {Skip, "needs a second path"},
	NoDevice:           {Skip, "needs an export of a kind that is not there"},
	NoTool:             {Skip, "needs a program or kernel facility that is not there"},
	AbilityMissing:     {Skip, "the subject turned out not to have the ability"},
	NotReached:         {Skip, "the run ended before"},
	NotSeen:            {Skip, "the capture has nothing that the clause speaks of"},
	NothingLost:        {Skip, "the crash loses nothing, not even what was neither flushed nor FUA, so that nothing is proven by what is there after it"},
	OtherConfiguration: {Skip, "needs another configuration of the subject"},
	Undecidable:        {Skip, "cannot be decided from outside"},
	NoSpec:             {Skip, "no spec decides it yet"},

	OtherRole:    {NotApplicable, "judges the other role"},
	OtherDialect: {NotApplicable, "does not hold for the subject's dialect"},
	LacksAbility: {NotApplicable, "the subject is known to lack the ability"},

	TransportFailed: {Inconclusive, "a probe shows that RDMA itself did not work"},
	HostDied:        {Inconclusive, "a machine that is not under test died"},
	CaptureGap:      {Inconclusive, "frames are missing from the recording"},
	ClocksApart:     {Inconclusive, "the clocks are too far apart for the bound, or for what came first"},
	NoClock:         {Inconclusive, "the recording does not tell how much time passed"},
	SlowHost:        {Inconclusive, "the host was too slow for the bound to mean anything"},
	NotReady:        {Inconclusive, "an ordinary request failed that had to come first, so that the clause was not tried"},

	Panicked:    {SuiteError, "the spec panicked"},
	SetupFailed: {SuiteError, "the suite could not prepare the spec"},
	Interrupted: {SuiteError, "the spec was stopped from outside"},
	SuiteBug:    {SuiteError, "the suite contradicts itself"},

	AssertionFailed:   {Fail, "an expectation about the subject did not hold"},
	BoundExceeded:     {Fail, "a measured time is beyond its bound"},
	ProtocolViolation: {Fail, "a frame breaks the clause"},
	SpecTimedOut:      {Fail, "the subject did not come to an end in the time of the spec"},
	SubjectDead:       {Fail, "the subject no longer serves"},
	KernelLogReport:   {Fail, "the kernel log has a warning, bug, sanitizer or hung-task report, or a gap"},
	LeftBehind:        {Fail, "resources or devices were left behind"},
}

// Meaning is the reason in words, "" for an unknown code.
func (r Reason) Meaning() string { return reasons[r].meaning }

// Verdict is the verdict that the code belongs to, "" for an unknown code.
func (r Reason) Verdict() Verdict { return reasons[r].verdict }

// Reasons returns all codes, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(reasons)) }

// check returns an error if r does not belong to verdict v. A PASS has no reason; every other verdict has one.
func (r Reason) check(v Verdict) error {
	if v == Pass && r == "" {
		return nil
	}
	if known, ok := reasons[r]; !ok || known.verdict != v {
		return fmt.Errorf("reason code %q does not belong to verdict %s", string(r), v)
	}
	return nil
}
