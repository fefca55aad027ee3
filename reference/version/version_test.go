// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	here := debug.Module{Path: module}
	for _, c := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"nothing recorded", nil, Number + "-dev"},
		{"a checkout without its history", &debug.BuildInfo{Main: here}, Number + "-dev"},
		{"a release", &debug.BuildInfo{Main: debug.Module{Path: module, Version: "v0.3.1"}}, "v0.3.1"},
		{"a release in somebody else's program", &debug.BuildInfo{
			Main: debug.Module{Path: "example.org/acme", Version: "v9.0.0"}, Deps: []*debug.Module{{Path: module, Version: "v0.3.1"}},
		}, "v0.3.1"},
		{"a commit", &debug.BuildInfo{Main: here, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}}, Number + "-dev+0123456789ab"},
		{"a commit and more", &debug.BuildInfo{Main: here, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
		}}, Number + "-dev+0123456789ab.modified"},
	} {
		if got := of(c.info); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
