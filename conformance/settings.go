// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"runtime/debug"

	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Settings are what both kinds of runs have.
type Settings struct {
	Selection    runner.Selection  // of specs; its zero value selects all but those that take minutes
	ReportDir    string            // where journal, reports and evidence go; an earlier run's there are replaced
	Baseline     *verdict.Baseline // expected failures; nil for none
	KeepEvidence bool              // keep packets and logs of specs that pass, too
	Tool         string            // version for the report; "" takes that of this module in the program
}

// SettingError is a setting that makes no sense; nothing was tried.
type SettingError struct{ Text string }

// Error names the field, its value and what it must be.
func (e *SettingError) Error() string { return "conformance: " + e.Text }

func refuse(format string, args ...any) error { return &SettingError{fmt.Sprintf(format, args...)} }

func (s Settings) check() error {
	if s.ReportDir == "" {
		return refuse("Settings.ReportDir is empty: name a directory")
	}
	return nil
}

// rerun tells how one spec is run again from a program; %s is its name.
const rerun = "Settings.Selection.Names = %q"

const module = "github.com/ibnbd/ibnbd"

// tool is the version of this module.
func (s Settings) tool() string {
	if s.Tool != "" {
		return s.Tool
	}
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
