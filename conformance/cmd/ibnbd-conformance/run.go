// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/reference/version"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

const runHelp = `Boot the lab and judge a target and an initiator against each other. Every worker has a lab of its own: two virtual
machines on two rails, or on four where a spec wants that. Only those who may write to the cache and run QEMU are needed; nothing is installed or changed here.

While it runs, each spec that ends is a line. At the end there are clauses by area with their verdicts, measured times beside
their bounds, and what needs attention. Journal, reports and evidence are in the directory of the report.`

const runExamples = `  ibnbd-conformance run
  ibnbd-conformance run --smoke
  ibnbd-conformance run --extended --focus 'four paths|long outage'
  ibnbd-conformance run --target reference --initiator mainline --static-keys
  ibnbd-conformance run --target reference --initiator reference --target-settings queue-depth=2,heartbeat-interval=200ms --area IBNBD-IO
  ibnbd-conformance run --iommu --smoke
  ibnbd-conformance run --clause IBNBD-SYSFS-021,IBNBD-SYSFS-022
  ibnbd-conformance run --area IBTRS-MP --workers 1
  ibnbd-conformance run --focus 'carrier loss' --dry-run
  ibnbd-conformance run --rerun-failed
  ibnbd-conformance run --shard 2/5 --report shard-2
  ibnbd-conformance run --target ip:10.0.0.66 --export ram0
  ibnbd-conformance run --target ip:10.0.0.66,ip:10.0.1.66 --export ram0,ram1 --allow-data-loss ram0,ram1 \
    --allow-outage --control ./my-target
  ibnbd-conformance run --config ci/conformance.yaml --profile ci/release.yaml
  ibnbd-conformance run --protocol srp --target reference
  ibnbd-conformance run --protocol srp --target ip:10.0.0.66 --port 5555 --id-ext 0x505400fffe000001 --ioc-guid 0x505400fffe000001 --lun 0
  ibnbd-conformance run --role initiator --source 10.0.0.1 --control 'ssh root@10.0.0.77 ./my-initiator'`

// runFlags are the flags of the command, as the user wrote them.
type runFlags struct {
	selection         runner.Selection
	target, initiator string
	kernel            string
	modules           string
	moduleSources     []string
	kernelArguments   string
	report            string
	baseline          string
	profile           string
	config            string
	workers           int
	seed              int64
	mtu               int
	iommu             bool
	staticKeys        bool
	targetSettings    string
	initiatorSettings string
	keepAll           bool
	dryRun            bool
	quiet             bool
	json              bool
	shard             string
	rerunFailed       bool
	foreign           foreignFlags
}

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "run", Short: "Judge a target and an initiator in the lab, or one of them that somebody else runs",
		Long: runHelp + "\n\n" + foreignHelp() + "\n\n" + configHelp + "\n\n" + exitCodeHelp(), Example: runExamples,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readConfig(cmd.Flags(), f.config); err != nil {
				return err
			}
			if err := refuseMixed(cmd, f); err != nil {
				return err
			}
			if err := f.foreign.adapt(cmd); err != nil {
				return err
			}
			if err := a.narrow(&f); err != nil {
				return err
			}
			return a.run(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.selection.Clauses, "clause", nil, "only specs that decide these clauses")
	flags.StringSliceVar(&f.selection.Areas, "area", nil, "only specs that decide clauses of these areas")
	flags.StringVar(&f.selection.Level, "level", "", "only specs that decide clauses of this level: MUST, SHOULD, MAY")
	flags.StringVar(&f.selection.Labels, "label", "", "only specs that this Ginkgo label filter selects")
	flags.StringVar(&f.selection.Focus, "focus", "", "only specs whose name this regular expression matches")
	flags.StringArrayVar(&f.selection.Names, "spec", nil, "only the spec of exactly this name; may be given several times")
	flags.BoolVar(&f.selection.Smoke, "smoke", false, "only a few specs of each kind, in about a minute")
	flags.BoolVar(&f.selection.Extended, "extended", false, "also specs that take minutes, such as long outages")
	flags.StringVar(&f.target, "target", implementations()[0], "what is under test as the target: "+strings.Join(implementations(), ", ")+"; or a foreign one, ip:ADDRESS[:PORT][,...]")
	flags.StringVar(&f.initiator, "initiator", implementations()[0], "implementation under test as the initiator: "+strings.Join(implementations(), ", "))
	flags.BoolVar(&f.staticKeys, "static-keys", false, "run the target without key refresh")
	flags.StringVar(&f.targetSettings, "target-settings", "", "NAME=VALUE[,NAME=VALUE...]: what the target is started with; of the reference, flags of its server")
	flags.StringVar(&f.initiatorSettings, "initiator-settings", "", "the same for the initiator")
	flags.StringVar(&f.kernel, "kernel", image.DefaultKernel, kernelUsage())
	flags.StringVar(&f.modules, "modules", "", "directory of kernel modules (.ko) that take the place of the kernel's own")
	flags.StringArrayVar(&f.moduleSources, "module-source", nil, "directory that kernel modules are built from: a driver's, such as drivers/infiniband/ulp/rtrs, or a whole kernel source; may be given several times")
	flags.StringVar(&f.kernelArguments, "kernel-args", "", "more words for the command line of the guests' kernel")
	flags.IntVar(&f.mtu, "mtu", vm.LargeMTU, "MTU of the guests' network cards in bytes; 4300 gives a path MTU of 4096, 1500 one of 1024")
	flags.BoolVar(&f.iommu, "iommu", false, "put an IOMMU between the guests' devices and their memory; see docs/architecture.md for what that shows")
	flags.StringVar(&f.report, "report", filepath.Join("build", "report"), "directory for journal, reports and evidence")
	flags.StringVar(&f.baseline, "baseline", "", "expected failures; \"\" takes the one that comes with the program for these subjects, \"none\" takes none, \"mainline\" that one also for a kernel or modules of your own")
	flags.StringVar(&f.profile, "profile", "", "file that names clauses or areas which must be seen to hold; one that is skipped fails the run")
	flags.StringVar(&f.config, "config", "", "file with flags: a line NAME: VALUE for each; those of the command line come before it")
	flags.IntVar(&f.workers, "workers", 5, "labs side by side; most specs wait more than they work")
	flags.Int64Var(&f.seed, "seed", 0, "order in which each lab goes through the specs, and runs those that no other has begun; 0 chooses one and reports it. Of a foreign target: what random sequences of requests are drawn from; 0 stands for 1")
	flags.BoolVar(&f.keepAll, "keep-evidence", false, "keep packets and kernel logs of specs that pass, too")
	f.foreign.add(cmd)
	flags.BoolVar(&f.rerunFailed, "rerun-failed", false, "only specs that did not end well in the last run with this directory")
	flags.StringVar(&f.shard, "shard", "", "INDEX/COUNT: only this one of so many parts of about the same length; 'report merge' puts them together")
	flags.BoolVar(&f.quiet, "quiet", false, "write one line: how the run has ended")
	flags.BoolVar(&f.json, "json", false, "write report.json to standard output, and nothing else")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be run and how long it would take")
	cmd.MarkFlagsMutuallyExclusive("quiet", "json", "dry-run")
	for _, flag := range []string{"target", "initiator"} {
		completeWith(cmd, flag, implementations())
	}
	return cmd
}

// run judges what the flags speak of.
func (a *app) run(ctx context.Context, out io.Writer, f runFlags) error {
	prepared, err := a.prepare(f)
	if err != nil {
		return err
	}
	if len(prepared.Plan.Specs) == 0 {
		return a.nothingSelected(nothing{f.selection, len(prepared.Plan.LeftOut), f.grounds(), prepared.Plan.Subjects})
	}
	shown := out // progress, and the report for people
	if f.quiet || f.json {
		shown = io.Discard
	}
	announce(shown, prepared.Plan, f)
	if f.dryRun {
		return listSpecs(out, prepared.Plan)
	}
	outcome, err := prepared.Run(ctx, shown)
	if outcome != nil {
		if err := a.show(out, outcome, prepared.Plan, f); err != nil {
			return environmentf("%w", err)
		}
	}
	var refused *foreign.RefusedError
	switch {
	case errors.As(err, &refused):
		return usagef("%w", err)
	case err != nil:
		return environmentf("%w", err)
	}
	return exitWith(outcome.Exit.Code)
}

// show writes the outcome in the form that was asked for.
func (a *app) show(out io.Writer, outcome *verdict.Outcome, plan *runner.Plan, f runFlags) error {
	switch {
	case f.json:
		return report.JSON(out, outcome)
	case f.quiet:
		return report.Line(out, outcome)
	}
	if err := report.Terminal(out, outcome, screen(out)); err != nil {
		return err
	}
	if !f.isForeign() {
		a.printCoverage(out, plan, f.protocolOf())
	}
	_, err := fmt.Fprintf(out, "reports: %s\n", filepath.Join(f.report, "report.html"))
	return err
}

// prepare checks the flags and chooses the specs.
func (a *app) prepare(f runFlags) (*conformance.Prepared, error) {
	settings, err := a.settings(f)
	if err != nil {
		return nil, err
	}
	var run preparable
	if f.isForeign() {
		if run, err = f.foreign.run(f.target, f.seed, settings); err != nil {
			return nil, err
		}
	} else {
		if err := f.refuseZero(); err != nil {
			return nil, err
		}
		run = conformance.LabRun{
			Protocol: f.protocolOf().Name, Target: f.target, Initiator: f.initiator, Kernel: f.kernel, MTU: f.mtu, IOMMU: f.iommu, StaticKeys: f.staticKeys,
			Workers: f.workers, Seed: f.seed, Settings: settings,
			ReplaceModules: f.modules, ModuleSources: f.moduleSources, KernelArguments: strings.Fields(f.kernelArguments), AsMainline: f.baseline == asMainline,
			TargetSettings: settingsOf(f.targetSettings), InitiatorSettings: settingsOf(f.initiatorSettings),
		}
	}
	prepared, err := run.Prepare()
	if err != nil {
		return nil, f.wrongSetting(err)
	}
	return prepared, nil
}

// kernelUsage says what --kernel can be.
func kernelUsage() string {
	return "kernel of the guests: " + strings.Join(image.Kernels(), ", ") + "; or a path (with a slash): a built tree, where modules_install put one, a linux-image package, a vmlinuz"
}

// refuseZero refuses what stands for a default in a program, and makes no sense where a user writes it.
func (f runFlags) refuseZero() error {
	for flag, value := range map[string]string{"target": f.target, "initiator": f.initiator, "kernel": f.kernel} {
		if value == "" {
			return usagef("--%s is empty", flag)
		}
	}
	if err := within("workers", f.workers, 1, conformance.MostWorkers); err != nil {
		return err
	}
	return within("mtu", f.mtu, vm.MinMTU, vm.MaxMTU)
}

// preparable is a run as package conformance has it.
type preparable interface {
	Prepare() (*conformance.Prepared, error)
}

// settings are those of both kinds of runs. A foreign implementation has a baseline only if one is named.
func (a *app) settings(f runFlags) (s conformance.Settings, err error) {
	s = conformance.Settings{
		Selection: f.selection, ReportDir: f.report, KeepEvidence: f.keepAll, Tool: version.String(), Command: os.Args, Rerun: f.rerun(),
	}
	if f.profile != "" {
		if s.Profile, err = verdict.LoadProfile(f.profile, a.catalogue); err != nil {
			return s, usagef("%w", err)
		}
	}
	if f.isForeign() {
		s.Rerun = f.rerunForeign()
		if f.baseline == "" {
			return s, nil
		}
	}
	s.Baseline, s.BaselineFile, err = a.baselineFor(f)
	return s, err
}

// flagOf maps the fields of a run to the flags by which users say the same.
var flagOf = map[string]string{
	"Target": "--target", "Initiator": "--initiator", "Kernel": "--kernel", "MTU": "--mtu", "Workers": "--workers",
	"TargetSettings": "--target-settings", "InitiatorSettings": "--initiator-settings",
	"Settings.ReportDir": "--report", "Config.Dialect": "--dialect", "Config.Hook": "--control",
	"Config.Seed": "--seed", "Config.Sequence": "--replay",
}

// wrongSetting makes an error of the user of what a run refuses.
func (f runFlags) wrongSetting(err error) error {
	var setting *conformance.SettingError
	var environment *vm.EnvironmentError
	switch {
	case errors.As(err, &environment):
		return environmentf("%w", err)
	case !errors.As(err, &setting):
		return usagef("%w", err)
	case setting.Field == "Config.Configurations":
		return usagef("--configure: %w", setting.Err)
	case setting.Field == "Config.Sequence" && setting.Err != nil:
		return usagef("--replay %s: %w", f.foreign.replay, setting.Err)
	case setting.Field == "Config.Exports":
		return usagef("--export names %w", setting.Err)
	case setting.Field == "Config.Identity":
		return usagef("--%w", setting.Err)
	case setting.Field == "Config.Place" && f.foreign.isInitiator():
		return usagef("--source and --netdev: %w", setting.Err)
	case setting.Field == "Config.Place":
		return usagef("%w", setting.Err)
	case flagOf[setting.Field] == "":
		return usagef("%w", err)
	}
	return usagef("%s %s", flagOf[setting.Field], setting.Problem)
}

// narrow puts what depends on a shard, or on the last run, into the selection.
func (a *app) narrow(f *runFlags) error {
	if f.shard != "" {
		shard, err := verdict.ParseShard(f.shard)
		if err != nil {
			return usagef("--shard %w", err)
		}
		f.selection.Shard = &shard
	}
	if f.rerunFailed {
		return a.selectFailed(f.report, &f.selection)
	}
	return nil
}

// announce says what will be run, and what of it will not.
func announce(out io.Writer, plan *runner.Plan, f runFlags) {
	specs, takes := counted(len(plan.Specs), "spec"), plan.Estimate.Round(time.Second)
	if f.isForeign() {
		fmt.Fprintf(out, "%s on %s, about %s\n", specs, f.foreign.subjectName(f.target), takes)
	} else {
		fmt.Fprintf(out, "%s in %s, about %s when the guests are up\n", specs, counted(plan.Workers, "lab"), takes)
	}
	if len(plan.LeftOut) > 0 {
		fmt.Fprintf(out, "  %s that take minutes will be left out (%s): --extended runs them, too\n", counted(len(plan.LeftOut), "spec"), verdict.NotSelected)
	}
	for _, reason := range slices.Sorted(maps.Keys(plan.Skipped)) {
		fmt.Fprintf(out, "  %d will be skipped (%s): %s\n", plan.Skipped[reason], reason, reason.Meaning())
	}
}

// listSpecs shows the specs of a plan, and why some of them cannot run.
func listSpecs(out io.Writer, plan *runner.Plan) error {
	var all strings.Builder
	for _, s := range plan.Specs {
		fmt.Fprintf(&all, "  %s (%s)\n", s.Name, strings.Join(s.Clauses, ", "))
		if why := plan.Missing[s.Name]; why != "" {
			fmt.Fprintf(&all, "    will be skipped: %s\n", why)
		}
	}
	if _, err := io.WriteString(out, all.String()); err != nil {
		return environmentf("write the plan: %w", err)
	}
	return nil
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// printCoverage says how many clauses of the protocol no spec decides, the passive judge apart.
func (a *app) printCoverage(out io.Writer, plan *runner.Plan, p protocol.Protocol) {
	decidable := clauses.Filter{DecidedBy: []clauses.Method{clauses.Active}, Dialects: p.Clauses.Dialects}
	all, bare := len(a.catalogue.Select(decidable)), len(plan.Uncovered(decidable))
	fmt.Fprintf(out, "coverage: %d of the %d clauses that specs can decide have one; 'ibnbd-conformance list --uncovered' shows the rest\n",
		all-bare, all)
}

// rerun is the command that runs one spec again; %s is its name.
func (f runFlags) rerun() string {
	words := []string{"ibnbd-conformance", "run", "--workers", "1", "--target", f.target, "--initiator", f.initiator,
		"--kernel", f.kernel, "--mtu", fmt.Sprint(f.mtu)}
	if p := f.protocolOf(); p.Name != usual().Name {
		words = append(words, "--protocol", p.Name)
	}
	if f.iommu {
		words = append(words, "--iommu")
	}
	if f.staticKeys {
		words = append(words, "--static-keys")
	}
	for _, set := range []struct{ flag, text string }{{"--target-settings", f.targetSettings}, {"--initiator-settings", f.initiatorSettings}} {
		if set.text != "" {
			words = append(words, set.flag, strings.ReplaceAll(set.text, "%", "%%"))
		}
	}
	return strings.Join(words, " ") + " --spec '%s'"
}

// settingsOf are those of a text that has commas between them.
func settingsOf(text string) foreign.Configuration {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// asMainline is the baseline of a user who says that a kernel or modules of their own break what mainline breaks.
const asMainline = "mainline"

// baselineFor finds the expected failures.
func (a *app) baselineFor(f runFlags) (*verdict.Baseline, string, error) {
	if f.baseline == "none" {
		return nil, "", nil
	}
	if f.baseline != "" && f.baseline != asMainline {
		baseline, err := verdict.LoadBaseline(f.baseline, a.catalogue)
		if err != nil {
			return nil, "", usagef("%w", err)
		}
		return baseline, f.baseline, nil
	}
	own := f.protocolOf().Baseline
	if own == nil {
		return nil, "", nil
	}
	baseline, err := verdict.ReadBaseline(strings.NewReader(own.YAML), a.catalogue)
	if err != nil {
		return nil, "", environmentf("%s: %w", own.File, err)
	}
	return baseline, own.File, nil
}
