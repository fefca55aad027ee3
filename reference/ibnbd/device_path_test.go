// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func TestFullPath(t *testing.T) {
	for _, c := range []struct{ search, device, want string }{
		{"/", "dev/ram0", "/dev/ram0"},
		{"/", "/dev//ram0", "/dev/ram0"},
		{"/dev/", "ram0", "/dev/ram0"},
		{"/exports/%SESSNAME%", "disk", "/exports/blya/disk"},
		{"/exports/%SESSNAME%/behind/%SESSNAME%", "a///b", "/exports/blya/a/b"},
		{"", "ram0", "/ram0"},
	} {
		if got, err := FullPath(c.search, "blya", c.device); got != c.want || err != nil {
			t.Errorf("%s + %s = %q (%v), want %q", c.search, c.device, got, err, c.want)
		}
	}
	for name, c := range map[string]struct{ search, device string }{
		"parent":                {"/", "../dev/ram1"},
		"two dots in a name":    {"/", "a..b"},
		"sum of 4096":           {"/" + strings.Repeat("s", 4000), strings.Repeat("d", 95)},
		"full path of 4096":     {"/" + strings.Repeat("s", 4000), strings.Repeat("d", 94)},
		"session makes it long": {"/%SESSNAME%" + strings.Repeat("s", 3000), strings.Repeat("d", 1084)},
	} {
		search := c.search
		session := "blya"
		if name == "session makes it long" {
			session = strings.Repeat("x", 4000)
		}
		if got, err := FullPath(search, session, c.device); !errors.Is(err, ibtrs.EINVAL) {
			t.Errorf("%s: %d bytes (%v), want EINVAL", name, len(got), err)
		}
	}
	if got, err := FullPath("/"+strings.Repeat("s", 4000), "blya", strings.Repeat("d", 93)); err != nil || len(got) != 4095 {
		t.Errorf("full path of %d bytes: %v", len(got), err)
	}
}
