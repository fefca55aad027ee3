// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// A target in the network is judged by its address and an export, of which nothing is written.
func ExampleForeign() {
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	outcome, err := conformance.Foreign{
		Config: foreign.Config{
			Name: "acme-1", Dialect: conformance.RNBD,
			Targets: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.66:1234")}, Exports: []string{"ram0"},
		},
		Settings: conformance.Settings{ReportDir: dir, Selection: runner.Selection{Areas: []string{"IBTRS-CONN"}}},
	}.Run(context.Background(), os.Stdout)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(outcome.Exit.Sentence)
	for _, clause := range outcome.Clauses() {
		if clause.Verdict == verdict.Fail {
			fmt.Println(clause.ID, clause.Message)
		}
	}
}

// Mainline Linux is judged on virtual machines; the program's main function has called Worker before.
func ExampleLabRun() {
	conformance.Worker()
	outcome, err := conformance.LabRun{
		Target: "mainline", Initiator: "mainline",
		Settings: conformance.Settings{ReportDir: "report", Selection: runner.Selection{Smoke: true}},
	}.Run(context.Background(), os.Stdout)
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Exit(int(outcome.Exit.Code))
}

func TestRefusals(t *testing.T) {
	known := foreign.Config{
		Name: "acme-1", Dialect: conformance.RNBD, Exports: []string{"ram0"},
		Targets: []netip.AddrPort{netip.MustParseAddrPort("127.45.1.66:1234")},
	}
	without := func(change func(*foreign.Config)) conformance.Foreign {
		c := known
		change(&c)
		return conformance.Foreign{Config: c, Settings: conformance.Settings{ReportDir: t.TempDir()}}
	}
	inLab := func(change func(*conformance.LabRun)) conformance.LabRun {
		l := conformance.LabRun{Settings: conformance.Settings{ReportDir: t.TempDir()}}
		change(&l)
		return l
	}
	type judge interface {
		Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error)
	}
	for want, run := range map[string]judge{
		"Config.Targets is empty":                  without(func(c *foreign.Config) { c.Targets = nil }),
		"Config.Exports: 3 exports":                without(func(c *foreign.Config) { c.Exports = []string{"a", "b", "c"} }),
		"Config.Heartbeats: heartbeat 1ms":         without(func(c *foreign.Config) { c.Heartbeats.Interval = time.Millisecond }),
		"Config.Heartbeats: heartbeat-misses 1001": without(func(c *foreign.Config) { c.Heartbeats.Misses = 1001 }),
		"Config.Heartbeats: heartbeat is nothing": without(func(c *foreign.Config) {
			c.Dialect, c.Heartbeats.Interval = conformance.SRP, time.Second
		}),
		"Config.Patience: patience 2h0m0s":           without(func(c *foreign.Config) { c.Patience = 2 * time.Hour }),
		"Config.Name is empty":                       without(func(c *foreign.Config) { c.Name = "" }),
		`Config.Dialect "nvme" is not one of`:        without(func(c *foreign.Config) { c.Dialect = "nvme" }),
		"Config.Identity: id-ext is missing":         without(func(c *foreign.Config) { c.Dialect, c.Exports = conformance.SRP, []string{"0"} }),
		`Config.Exports: logical unit "ram0" is not`: without(func(c *foreign.Config) { c.Dialect = conformance.SRP }),
		`Config.Identity: ioc-guid "guid" is not a number`: without(func(c *foreign.Config) {
			c.Dialect, c.Exports, c.Identity = conformance.SRP, []string{"0"}, map[string]string{"id-ext": "0x1", "ioc-guid": "guid"}
		}),
		"Config.Identity: id-ext is nothing that": without(func(c *foreign.Config) { c.Identity = map[string]string{"id-ext": "1"} }),
		`Config.Place: provider "siw"`:            without(func(c *foreign.Config) { c.Place.Provider = "siw" }),
		"Settings.ReportDir is empty":             conformance.Foreign{Config: known},
		"Config.Hook is missing":                  conformance.ForeignInitiator{Config: foreign.InitiatorConfig{Name: "a", Dialect: conformance.RNBD}, Settings: conformance.Settings{ReportDir: t.TempDir()}},
		`Config.Dialect "smb" is not one of`: conformance.ForeignInitiator{
			Config: foreign.InitiatorConfig{Name: "a", Dialect: "smb", Hook: foreign.Hook{"true"}}, Settings: conformance.Settings{ReportDir: t.TempDir()},
		},
		"Config.Place: no own address": conformance.ForeignInitiator{
			Config: foreign.InitiatorConfig{Name: "a", Dialect: conformance.RNBD, Hook: foreign.Hook{"true"}}, Settings: conformance.Settings{ReportDir: t.TempDir()},
		},
		`Protocol "nvme" is not one`:  inLab(func(l *conformance.LabRun) { l.Protocol = "nvme" }),
		`Target "acme" is not one of`: inLab(func(l *conformance.LabRun) { l.Target = "acme" }),
		`Kernel "2.6" is not one of`:  inLab(func(l *conformance.LabRun) { l.Kernel = "2.6" }),
		"MTU 100 is outside":          inLab(func(l *conformance.LabRun) { l.MTU = 100 }),
		"Workers -1 is outside":       inLab(func(l *conformance.LabRun) { l.Workers = -1 }),
	} {
		outcome, err := run.Run(t.Context(), t.Output())
		var setting *conformance.SettingError
		if outcome != nil || !errors.As(err, &setting) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want the error %q", outcome, err, want)
		}
	}
	nothing := inLab(func(l *conformance.LabRun) { l.Selection.Focus = "no such spec" })
	if _, err := nothing.Run(t.Context(), t.Output()); !errors.Is(err, conformance.ErrNothingSelected) {
		t.Errorf("a selection of nothing: %v", err)
	}
}

// TestOptionsOfLab: what is left open is filled in.
func TestOptionsOfLab(t *testing.T) {
	o, err := conformance.LabRun{Settings: conformance.Settings{ReportDir: "x"}}.Options()
	if err != nil || o.Workers != 1 || o.Seed == 0 || len(o.Subjects) != 2 || !strings.HasPrefix(o.Subjects[0].Name, "mainline-6.") {
		t.Errorf("%+v, %v", o, err)
	}
}
