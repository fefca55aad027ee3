// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	for text, want := range map[string]string{
		"ip:10.0.0.66":                       "10.0.0.66:1234",
		"ip:10.0.0.66:7":                     "10.0.0.66:7",
		"ip:fd00::66,ip:10.0.0.66":           "[fd00::66]:1234 10.0.0.66:1234",
		"ip:[fd00::66]:7,ip:[fd00::66]:1234": "[fd00::66]:7 [fd00::66]:1234",
	} {
		addrs, err := ParseTargets(text, 1234)
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"ip:":                   `"ip:" is not an address`,
		"ip:storage.example":    `"ip:storage.example" is not an address`,
		"ip:10.0.0.66,10.0.0.6": "",
		"ip:10.0.0.6,":          `"" is not an address`,
		"ip:10.0.0.6,10.0.0.6":  "10.0.0.6:1234 stands there twice",
	} {
		if _, err := ParseTargets(text, 1234); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, want %q", text, err, want)
		}
	}
}
