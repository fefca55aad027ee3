// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"testing"
)

func TestParseRange(t *testing.T) {
	if r, err := ParseRange("2048+64", 64); err != nil || r != (Range{2048, 64}) {
		t.Errorf("%v, %v", r, err)
	}
	for _, text := range []string{"", "64", "+", "2048+63", "-1+64", "18446744073709551615+64", "1+2+3"} {
		if r, err := ParseRange(text, 64); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func TestConsent(t *testing.T) {
	one, both := []string{"a"}, []string{"a", "b"}
	for _, c := range []struct {
		name    string
		consent Consent
		exports []string
		does    Effect
		mayEnd  bool
		allowed bool
	}{
		{"reads", Consent{}, both, Reads, false, true},
		{"writes", Consent{}, both, Writes, false, false},
		{"an outage", Consent{}, both, Reads, true, false},
		{"an outage that is allowed", Consent{Outage: true}, both, Reads, true, true},
		{"writes with an outage that is allowed", Consent{Outage: true}, both, Writes, true, false},
		{"writes that are allowed", Consent{Writes: true}, both, Writes, false, true},
		{"writes anywhere", Consent{Writes: true}, both, WritesAnywhere, false, false},
		{"writes anywhere with one of two exports", Consent{Writes: true, Loss: one}, both, WritesAnywhere, false, false},
		{"writes anywhere with both exports", Consent{Loss: both}, both, WritesAnywhere, false, true},
		{"writes with one of two exports", Consent{Loss: one}, both, Writes, false, false},
		{"writes anywhere with the only export", Consent{Loss: one}, one, WritesAnywhere, false, true},
	} {
		if got := c.consent.lacks(c.does, c.mayEnd, c.exports); (got == "") != c.allowed {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
