// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"regexp"
	"testing"
)

func TestClockWords(t *testing.T) {
	if got := clockWords(KVM); got != "" {
		t.Errorf("on KVM: %q, want nothing: its guests have a clock of their own", got)
	}
	if got := clockWords(TCG); !regexp.MustCompile(`^tsc_early_khz=[1-9][0-9]{5,7}$`).MatchString(got) {
		t.Errorf("on TCG: %q, want a rate between 100 MHz and 100 GHz", got)
	}
	if first, second := clockWords(TCG), clockWords(TCG); first != second {
		t.Errorf("two answers: %q and %q", first, second)
	}
}
