// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

func TestBreak(t *testing.T) {
	server, client := ibnbd.DefaultServerConfig(), ibnbd.DefaultClientConfig()
	if err := Break([]string{"ignore-fua", "fixed-id"}, &server.Rules, &server.Transport.Rules); err != nil {
		t.Fatal(err)
	}
	if !server.Rules.IgnoreFUA || !server.Transport.Rules.FixedID || server.Rules.IgnoreFlush {
		t.Errorf("rules of the server are %+v and %+v", server.Rules, server.Transport.Rules)
	}
	if err := Break([]string{"no-order"}, &client.Rules, &client.Transport.Rules); err != nil || !client.Rules.NoOrder {
		t.Errorf("rules of the client are %+v, %v", client.Rules, err)
	}
	err := Break([]string{"be-nice"}, &server.Rules, &server.Transport.Rules)
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
