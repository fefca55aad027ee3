// SPDX-License-Identifier: Apache-2.0

// Package version tells the version of the programs of this module.
package version

import (
	"runtime/debug"
	"strings"
)

// Number is the version that the tree is on its way to; CHANGELOG.md says what is in it.
const Number = "0.2.0"

const module = "github.com/ibnbd/ibnbd"

// String is the version of this program: that of the module where Go has recorded one, as for `go install` of a release, else
// Number with the commit that it was built from, as far as that is known.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return of(nil)
	}
	return of(info)
}

// of tells the version by what Go recorded when it built the program.
func of(info *debug.BuildInfo) string {
	if info == nil {
		return Number + "-dev"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == module && strings.HasPrefix(m.Version, "v") {
			return m.Version
		}
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	const shown = 12 // characters of a commit's hash
	text := Number + "-dev"
	if commit := settings["vcs.revision"]; commit != "" {
		text += "+" + commit[:min(shown, len(commit))]
	}
	if settings["vcs.modified"] == "true" {
		text += ".modified"
	}
	return text
}
