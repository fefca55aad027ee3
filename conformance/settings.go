// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/ibnbd/ibnbd/conformance/runner"
)

// Settings are what all kinds of runs have. Tool and Rerun may be left out: they stand for the version of this module in the
// program, and for what a program sets to run one spec again.
type Settings = runner.Settings

// SettingError is a setting that makes no sense; nothing was tried.
type SettingError struct {
	Field   string // of the value that is run, such as "Workers" or "Config.Exports"
	Problem string // with the value and what it must be, to be read behind the field
	Err     error  // what does not fit together in the field, if Problem is ""
}

// Error names the field, its value and what it must be.
func (e *SettingError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("conformance: %s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("conformance: %s %s", e.Field, e.Problem)
}

// Unwrap gives what does not fit together.
func (e *SettingError) Unwrap() error { return e.Err }

func refuse(field, format string, args ...any) error {
	return &SettingError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// complete checks the settings, and fills in what was left out.
func complete(s Settings) (Settings, error) {
	if s.ReportDir == "" {
		return s, refuse("Settings.ReportDir", "is empty: name a directory")
	}
	s.Tool, s.Rerun = cmp.Or(s.Tool, moduleVersion()), cmp.Or(s.Rerun, rerun)
	return s, nil
}

// rerun tells how one spec is run again from a program; %s is its name.
const rerun = "Settings.Selection.Names = %q"

const module = "github.com/ibnbd/ibnbd"

// moduleVersion is the version of this module in the program.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == module && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return "unknown"
}
