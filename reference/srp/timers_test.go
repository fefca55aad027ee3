// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/srp"
)

// TestTimers makes changes one after the other, as a person does in sysfs; values are in seconds, negative ones are off.
func TestTimers(t *testing.T) {
	const ff, dl, rd = 0, 1, 2
	timers := srp.DefaultTimers()
	timers.DevLoss = 600 * time.Second
	for i, step := range []struct {
		field, value int
		ok           bool
	}{
		{ff, 600, false}, {dl, 601, true}, {ff, 600, true}, {dl, 600, false}, {ff, -1, false}, {dl, -1, true}, {rd, -1, true},
		{rd, 0, false}, {ff, 601, false}, {ff, -1, false}, {ff, 0, true}, {dl, 0, false}, {dl, 1, true}, {ff, 1, false}, {rd, 1, true},
	} {
		next := timers
		*[]*time.Duration{&next.FastIOFail, &next.DevLoss, &next.ReconnectDelay}[step.field] = time.Duration(step.value) * time.Second
		err := next.Validate()
		if (err == nil) != step.ok {
			t.Errorf("step %d, %+v: %v", i, step, err)
		}
		if err == nil {
			timers = next
		}
	}
}

func TestTimerBounds(t *testing.T) {
	timers := srp.DefaultTimers()
	for n, want := range map[int]time.Duration{1: 10, 8: 10, 9: 20, 10: 40, 11: 60, 1000: 60} {
		if got := timers.Pause(n); got != want*time.Second {
			t.Errorf("pause %d is %s, want %d s", n, got, want)
		}
	}
	if got := timers.Detect(2, 14); got != 12*4096*time.Nanosecond<<14 {
		t.Errorf("detection with code 14 and 2 retries: %s", got)
	}
	for _, code := range []int{0, 17, 31} {
		if got := timers.Detect(7, code); got != timers.ProbeDeadline {
			t.Errorf("detection with code %d: %s", code, got)
		}
	}
	bound := timers.FailBound(7, 17)
	if bound.Limit != 30500*time.Millisecond || bound.UnderLoad { // Clause SRP-TMO-021
		t.Errorf("bound %s", bound)
	}
	timers.Probe = srp.Off
	if got := timers.FailBound(2, 14); got.Limit != 15500*time.Millisecond+timers.Detect(2, 14) || !got.UnderLoad {
		t.Errorf("bound without a probe: %s", got)
	}
	timers.FastIOFail = srp.Off
	if got := timers.FailBound(7, 17); got.Limit != 0 {
		t.Errorf("a bound though I/O never fails: %s", got)
	}
}

func TestTimersThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*srp.Timers){
		"reconnect_delay_max is 0s": func(t *srp.Timers) { t.ReconnectDelayMax = 0 },
		"attempt_max is 0s":         func(t *srp.Timers) { t.AttemptMax = 0 },
		"probe is 0":                func(t *srp.Timers) { t.Probe = 0 },
		"probe_deadline is -1s":     func(t *srp.Timers) { t.ProbeDeadline = -time.Second },
	} {
		timers := srp.DefaultTimers()
		change(&timers)
		if err := timers.Validate(); !errors.Is(err, syscall.EINVAL) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
