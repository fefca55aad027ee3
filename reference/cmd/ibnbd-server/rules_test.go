// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

func TestBreakRules(t *testing.T) {
	cfg := ibnbd.DefaultServerConfig()
	if err := breakRules(&cfg, []string{"ignore-fua", "fixed-id"}); err != nil {
		t.Fatal(err)
	}
	if !cfg.Rules.IgnoreFUA || !cfg.Transport.Rules.FixedID || cfg.Rules.IgnoreFlush {
		t.Errorf("rules are %+v and %+v", cfg.Rules, cfg.Transport.Rules)
	}
	err := breakRules(&cfg, []string{"be-nice"})
	if err == nil || !strings.Contains(err.Error(), `"be-nice"`) || !strings.Contains(err.Error(), "ignore-fua") {
		t.Errorf("an unknown rule: %v", err)
	}
}

func TestDashed(t *testing.T) {
	for name, want := range map[string]string{
		"IgnoreFUA": "ignore-fua", "FUAOnReadFails": "fua-on-read-fails", "FixedID": "fixed-id", "HonourIOModeByte": "honour-io-mode-byte", "AnyDots": "any-dots",
	} {
		if got := dashed(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
