// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"fmt"
	"math"
	"syscall"
	"time"
)

// Off is the value of a timer that never expires.
const Off = time.Duration(-1)

// Timers say what an initiator does when a target port is lost, and when.
type Timers struct {
	FastIOFail     time.Duration // from the loss to the failure of I/O, or Off
	DevLoss        time.Duration // from the loss to the removal of the port, or Off
	ReconnectDelay time.Duration // from the loss, or a failed attempt, to the next attempt, or Off

	ReconnectDelayMax time.Duration // bounds the growth of the pause
	AttemptMax        time.Duration // for one attempt to log in

	Probe         time.Duration // a channel on which nothing succeeds is probed so often, or Off
	ProbeDeadline time.Duration // a command or probe without an answer for so long means loss
}

// DefaultTimers never remove a port (Clause SRP-STATE-010).
func DefaultTimers() Timers {
	return Timers{
		FastIOFail: 15 * time.Second, DevLoss: Off, ReconnectDelay: 10 * time.Second,
		ReconnectDelayMax: time.Minute, AttemptMax: 5 * time.Second,
		Probe: 5 * time.Second, ProbeDeadline: 10 * time.Second,
	}
}

const (
	mostFailTime = 600 * time.Second
	failSlack    = 500 * time.Millisecond // for the work of ending commands
	ackUnit      = 4096 * time.Nanosecond
	steadyPauses = 8 // failures before the pause grows
	retryFactor  = 4 // a queue pair may take so many times its timeout (IBTA 9.7.6.1.3)
)

// Validate refuses combinations that Linux refuses (Clause SRP-TMO-002), and times that cannot be. The error names field, value
// and limit, and is EINVAL to errors.Is.
func (t *Timers) Validate() error {
	ff, dl, rd := t.FastIOFail, t.DevLoss, t.ReconnectDelay
	var complaint string
	switch {
	case ff < 0 && dl < 0 && rd < 0:
		complaint = "fast_io_fail_tmo, dev_loss_tmo and reconnect_delay are all off, one must be on"
	case rd == 0:
		complaint = "reconnect_delay is 0, must be positive or off"
	case ff > mostFailTime:
		complaint = fmt.Sprintf("fast_io_fail_tmo is %s, must be at most %s", ff, mostFailTime)
	case ff < 0 && dl > mostFailTime:
		complaint = fmt.Sprintf("dev_loss_tmo is %s, must be at most %s while fast_io_fail_tmo is off", dl, mostFailTime)
	case ff >= 0 && dl >= 0 && ff >= dl:
		complaint = fmt.Sprintf("fast_io_fail_tmo is %s, must be less than dev_loss_tmo, %s", ff, dl)
	case t.ReconnectDelayMax <= 0:
		complaint = fmt.Sprintf("reconnect_delay_max is %s, must be positive", t.ReconnectDelayMax)
	case t.AttemptMax <= 0:
		complaint = fmt.Sprintf("attempt_max is %s, must be positive", t.AttemptMax)
	case t.Probe == 0:
		complaint = "probe is 0, must be positive or off"
	case t.ProbeDeadline <= 0:
		complaint = fmt.Sprintf("probe_deadline is %s, must be positive", t.ProbeDeadline)
	default:
		return nil
	}
	return fmt.Errorf("%s: %w", complaint, syscall.EINVAL)
}

// Pause is the time from failure number n, counted from 1, to the next attempt (Clause SRP-RECON-006).
func (t *Timers) Pause(n int) time.Duration {
	pause := t.ReconnectDelay
	for ; n > steadyPauses && pause < t.ReconnectDelayMax; n-- {
		pause *= 2
	}
	return min(pause, t.ReconnectDelayMax)
}

// Detect bounds the time in which a loss is noticed, once something waits for an answer. retries and ackTimeout, a code, are those
// of the queue pair; where the code is 0, and so unknown, the deadline of probes is the bound.
func (t *Timers) Detect(retries, ackTimeout int) time.Duration {
	ack := ackUnit << ackTimeout
	if ackTimeout == 0 || ack > math.MaxInt64/(retryFactor*8) {
		return t.ProbeDeadline
	}
	return min(retryFactor*time.Duration(retries+1)*ack, t.ProbeDeadline)
}

// FailBound bounds the time from the loss of a target to the failure of I/O (Clause SRP-SYSFS-018), with its terms.
type FailBound struct {
	Limit     time.Duration `json:"limit_ns"` // their sum; 0: I/O never fails
	Probe     time.Duration `json:"probe_ns"`
	Detect    time.Duration `json:"detect_ns"`
	Fail      time.Duration `json:"fast_io_fail_ns"`
	Slack     time.Duration `json:"slack_ns"`
	UnderLoad bool          `json:"under_load"` // an idle port does not notice anything, so the bound holds under load alone
}

// FailBound computes the bound from what is set.
func (t *Timers) FailBound(retries, ackTimeout int) FailBound {
	if t.FastIOFail < 0 {
		return FailBound{}
	}
	b := FailBound{Probe: max(t.Probe, 0), Detect: t.Detect(retries, ackTimeout), Fail: t.FastIOFail, Slack: failSlack, UnderLoad: t.Probe < 0}
	b.Limit = b.Probe + b.Detect + b.Fail + b.Slack
	return b
}

// String shows the sum.
func (b FailBound) String() string {
	if b.Limit == 0 {
		return "I/O of a lost target waits for ever: fast_io_fail_tmo is off"
	}
	text := fmt.Sprintf("I/O fails within %s of a loss = %s probe + %s detection + %s fast_io_fail_tmo + %s", b.Limit, b.Probe, b.Detect, b.Fail, b.Slack)
	if b.UnderLoad {
		text += ", under load only, since the probe is off"
	}
	return text
}

// ReconnectBound bounds the time in which any one of n lost targets that can be reached again is back, if a login takes no longer than
// login and attempts are gap apart (Clauses SRP-RECON-007, SRP-RECON-012). It grows with the pause.
func (t *Timers) ReconnectBound(n int, gap, login time.Duration) time.Duration {
	return max(t.ReconnectDelay, t.ReconnectDelayMax) + time.Duration(n-1)*(t.AttemptMax+gap) + login
}
