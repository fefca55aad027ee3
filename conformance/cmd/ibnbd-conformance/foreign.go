// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
)

func foreignHelp() string {
	return targetHelp + "\n\n" + ownersHelp() + initiatorHelp + usual().Foreign.Initiators.Help + initiatorHelpEnd + furtherInitiatorsHelp()
}

// furtherInitiatorsHelp says what the hooks of initiators have to do, by protocol, beside the one under test.
func furtherInitiatorsHelp() (text string) {
	for _, p := range conformance.Protocols()[1:] {
		if p.Foreign != nil && p.Foreign.Initiators.Help != "" {
			text += "\n\n" + strings.TrimSpace(p.Foreign.Initiators.Help)
		}
	}
	return text
}

// ownersHelp says what the owners of targets may have done, by protocol.
func ownersHelp() (text string) {
	for _, p := range conformance.Protocols() {
		if p.Foreign != nil && p.Foreign.Targets.Owners != "" {
			text += p.Foreign.Targets.Owners + "\n\n"
		}
	}
	return text
}

const targetHelp = `With --target ip:ADDRESS the target is one that somebody else runs, and no lab is needed. Attacks that a target must endure
are made from here, over ordinary UDP sockets or, in programs built with the tag verbs, over RDMA devices. Nothing is written
and nothing is risked that was not allowed; what could not be tried is skipped, and the report says why.

The owner's command (--control) is run without a shell, with one argument more and with IBNBD_TARGET (addresses with commas between
them), IBNBD_EXPORTS and IBNBD_CONFIGURATION (the settings of configure) in its environment:

  status    says on lines NAME=VALUE what should stand in the report, such as a version
  restart   starts the target again that has died or hangs; it need not wait until that serves
  crash     ends the target as a loss of power does, so that it loses what was not flushed, and starts it again
  configure NAME=VALUE...
            starts the target again with these settings, which restart and crash keep; the names are the owner's

It ends with status 0 when that is done, with 127 for what it does not know, and with another when it fails; then the last line of
its standard error is reported. After restart, crash and configure the target has a minute to serve. restart is called
after a spec that the target has not survived. Where a crash loses nothing, durability is
not judged. ci/hooks/ibnbd-server is an example, and docs/vendors.md says more.`

// foreignFlags are the flags about a foreign target or initiator, as the user wrote them.
type foreignFlags struct {
	role     string
	protocol string
	port     uint16
	identity map[string]*string // by the names of Targets.Identity, of all protocols
	units    []string
	exports  []string
	provider string
	netdev   string
	sources  []string
	control  string
	settings []string
	writes   bool
	scratch  string
	loss     []string
	outage   bool
	dialect  string
	name     string
	patience time.Duration
	replay   string
	beats    audit.Heartbeats
}

func (f *foreignFlags) add(cmd *cobra.Command) {
	flags, most := cmd.Flags(), usual().Foreign
	flags.StringVar(&f.role, "role", string(clauses.Target), "what a foreign implementation is: target, initiator")
	flags.StringVar(&f.protocol, "protocol", "", "protocol that is judged: "+strings.Join(protocolNames(), ", ")+"; by default that of --dialect, and in the lab that of --clause and --area")
	flags.Uint16Var(&f.port, "port", 0, "port of the foreign target where its address has none; 0 stands for the usual one of the protocol")
	f.identity = make(map[string]*string)
	for _, w := range identityWords() {
		f.identity[w.Name] = flags.String(w.Name, "", w.Usage)
	}
	flags.StringSliceVar(&f.units, "lun", nil, "the same as --export, of a target whose exports have numbers")
	flags.StringSliceVar(&f.exports, "export", nil, "exports of the foreign target: one, or a second for a conforming bystander; of different sizes, so that taking one for the other shows")
	flags.StringVar(&f.provider, "provider", foreign.Soft, "RDMA provider on this side: "+strings.Join(foreign.Providers, ", "))
	flags.StringVar(&f.netdev, "netdev", "", "network interface on this side; by default the one of the route to the target")
	flags.StringSliceVar(&f.sources, "source", nil, "own addresses, one for each of the target, or those that wait for an initiator; with --netdev and a prefix length, addresses that this machine has not")
	flags.StringVar(&f.control, "control", "", "command of the owner that restarts or crashes the target, or steers the initiator")
	flags.StringArrayVar(&f.settings, "configure", nil, "NAME=VALUE[,NAME=VALUE...]: have the control command start the target so, and judge that; given again, judge each of them, in one report")
	flags.BoolVar(&f.writes, "allow-writes", false, "let the sectors of --scratch be written, on every export")
	flags.StringVar(&f.scratch, "scratch", "", fmt.Sprintf("FIRST+COUNT: sectors of 512 bytes that may be written, at least %d", most.Targets.Scratch))
	flags.StringSliceVar(&f.loss, "allow-data-loss", nil, "exports whose data may be lost, all of it")
	flags.BoolVar(&f.outage, "allow-outage", false, "let the service, or the initiator's machine, end: by what some known one did not survive, or by the control command")
	flags.StringVar(&f.replay, "replay", "", "run again what was saved of a failure as sequence.json beside its evidence, and nothing else")
	flags.StringVar(&f.dialect, "dialect", string(usual().Implementations[0].Dialect), "family of names of the foreign implementation: "+foreignDialects())
	flags.StringVar(&f.name, "name", "", "name of the foreign implementation in reports and baselines; by default the first address of the target")
	flags.DurationVar(&f.beats.Interval, "heartbeat", 0, "configured heartbeat interval of the foreign implementation; by default the protocol's")
	flags.IntVar(&f.beats.Misses, "heartbeat-misses", 0, "configured number of heartbeats that it lets its peer miss; by default the protocol's")
	flags.DurationVar(&f.patience, "patience", most.Targets.Patience, fmt.Sprintf("how long one answer of the foreign target may take; of an initiator, %s unless you say otherwise", most.Initiators.Patience))
}

// Flags that make sense only in the lab, or only for a foreign target or initiator.
var (
	labFlags     = []string{"initiator", "static-keys", "target-settings", "initiator-settings", "kernel", "modules", "module-source", "kernel-args", "mtu", "iommu", "workers", "smoke", "extended", "label"}
	foreignNames = slices.Concat([]string{"role", "port", "lun", "export", "provider", "netdev", "source", "control", "configure", "allow-writes", "scratch", "allow-data-loss", "allow-outage", "dialect", "name", "patience", "heartbeat", "heartbeat-misses", "replay"}, identityNames())
)

// refuseMixed refuses flags of the one kind of run in the other.
func refuseMixed(cmd *cobra.Command, f runFlags) error {
	refused, why := foreignNames, "speaks of a foreign target: give one with --target ip:ADDRESS"
	if _, err := foreign.ParseTargets(f.target, 1); err == nil && !f.isForeign() {
		return usagef("--target %s is an address: write --target %s%s", f.target, foreign.Prefix, f.target)
	}
	switch {
	case f.foreign.role != string(clauses.Target) && f.foreign.role != string(clauses.Initiator):
		return usagef("--role %q is not one of target, initiator", f.foreign.role)
	case f.foreign.isInitiator():
		refused, why = slices.Concat(labFlags, targetNames), "does not go with --role initiator"
	case f.isForeign():
		refused, why = labFlags, "speaks of the lab, and --target is a foreign target"
	}
	for _, name := range refused {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			return usagef("--%s %s", name, why)
		}
	}
	return nil
}

func (f runFlags) isForeign() bool {
	return f.foreign.isInitiator() || strings.HasPrefix(f.target, foreign.Prefix)
}

// subjectName is how reports and baselines call what is judged.
func (f foreignFlags) subjectName(target string) string {
	if f.isInitiator() {
		return cmp.Or(f.name, "initiator")
	}
	first, _, _ := strings.Cut(target, ",")
	return cmp.Or(f.name, strings.TrimPrefix(first, foreign.Prefix))
}

// run makes a run of the flags.
func (f foreignFlags) run(target string, seed int64, s conformance.Settings) (preparable, error) {
	p := foreignProtocol(f.dialect)
	if p == nil {
		return nil, usagef("--dialect %q is not one of %s", f.dialect, foreignDialects())
	}
	if err := foreign.CheckPatience(f.patience); err != nil { // 0 stands for the usual one in a program only
		return nil, usagef("--%w", err)
	}
	if err := p.CheckHeartbeats(f.beats); err != nil {
		return nil, usagef("--%w", err)
	}
	if f.isInitiator() {
		c, err := f.initiator()
		return conformance.ForeignInitiator{Config: c, Settings: s}, err
	}
	c, err := f.config(p, target)
	if err == nil {
		c.Seed = seed
		c.Sequence, err = f.saved()
	}
	return conformance.Foreign{Config: c, Settings: s}, err
}

// config makes a description of the target of the flags.
func (f foreignFlags) config(p *foreign.Protocol, target string) (c foreign.Config, err error) {
	c = foreign.Config{
		Name: f.subjectName(target), Dialect: clauses.Dialect(f.dialect), Identity: f.said(), Exports: f.exports, Patience: f.patience, Heartbeats: f.beats,
	}
	if c.Targets, err = foreign.ParseTargets(target, cmp.Or(f.port, p.Port)); err != nil {
		return c, usagef("--target %w", err)
	}
	if c.Hook, err = f.hook(); err != nil {
		return c, err
	}
	if c.Configurations, err = f.configurations(); err != nil {
		return c, err
	}
	if c.Place, err = f.place(); err != nil {
		return c, err
	}
	c.Consent, err = f.consent(p.Targets.Scratch)
	return c, err
}

// saved is the sequence that is to be run again; nil for none.
func (f foreignFlags) saved() ([]byte, error) {
	if f.replay == "" {
		return nil, nil
	}
	saved, err := os.ReadFile(f.replay)
	if err != nil {
		return nil, usagef("--replay: %w", err)
	}
	if len(saved) == 0 {
		return nil, usagef("--replay %s is empty", f.replay)
	}
	return saved, nil
}

// said is what was said of the identity of the target.
func (f foreignFlags) said() map[string]string {
	said := make(map[string]string)
	for name, value := range f.identity {
		if *value != "" {
			said[name] = *value
		}
	}
	return said
}

func (f foreignFlags) hook() (foreign.Hook, error) {
	if f.control == "" {
		return nil, nil
	}
	hook, err := foreign.ParseHook(f.control)
	if err != nil {
		return nil, usagef("--control %q: %w", f.control, err)
	}
	return hook, nil
}

func (f foreignFlags) configurations() (all []foreign.Configuration, err error) {
	for _, text := range f.settings {
		c, err := foreign.ParseConfiguration(text)
		if err != nil {
			return nil, usagef("--configure %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (f foreignFlags) place() (foreign.Place, error) {
	p := foreign.Place{Provider: f.provider, Netdev: f.netdev}
	for _, text := range f.sources {
		prefix, err := netip.ParsePrefix(text)
		if addr, alone := netip.ParseAddr(text); alone == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return p, usagef("--source %q is not an address, with a prefix length or without", text)
		}
		p.Source = append(p.Source, prefix)
	}
	return p, nil
}

// consent is what the flags allow, with a scratch range of at least so many sectors.
func (f foreignFlags) consent(least uint64) (foreign.Consent, error) {
	c := foreign.Consent{Writes: f.writes, Loss: f.loss, Outage: f.outage}
	for _, name := range f.loss {
		if !slices.Contains(f.exports, name) {
			return c, usagef("--allow-data-loss %s is not among the exports %s", name, strings.Join(f.exports, ", "))
		}
	}
	if f.writes != (f.scratch != "") {
		return c, usagef("--allow-writes and --scratch FIRST+COUNT belong together: the one allows to write, the other says where")
	}
	if !f.writes {
		return c, nil
	}
	var err error
	if c.Scratch, err = foreign.ParseRange(f.scratch, least); err != nil {
		return c, usagef("--scratch %w", err)
	}
	return c, nil
}

// rerunForeign is the command that runs one spec again; %s is its name.
func (f runFlags) rerunForeign() string {
	o := f.foreign
	words := []string{"ibnbd-conformance", "run", "--target", f.target, "--export", strings.Join(o.exports, ",")}
	if o.isInitiator() {
		words = []string{"ibnbd-conformance", "run", "--role", o.role}
	}
	words = append(words, "--provider", o.provider)
	for _, flag := range []struct{ name, value string }{
		{"--netdev", o.netdev}, {"--source", strings.Join(o.sources, ",")}, {"--scratch", o.scratch},
		{"--allow-data-loss", strings.Join(o.loss, ",")}, {"--name", o.name}, {"--replay", o.replay},
	} {
		if flag.value != "" {
			words = append(words, flag.name, flag.value)
		}
	}
	for _, name := range identityNames() {
		if value := *o.identity[name]; value != "" {
			words = append(words, "--"+name, value)
		}
	}
	if o.port != 0 {
		words = append(words, "--port", fmt.Sprint(o.port))
	}
	if f.seed != 0 {
		words = append(words, "--seed", fmt.Sprint(f.seed))
	}
	if o.control != "" {
		words = append(words, "--control", "'"+o.control+"'")
	}
	for _, configuration := range o.settings {
		words = append(words, "--configure", configuration)
	}
	if o.writes {
		words = append(words, "--allow-writes")
	}
	if o.outage {
		words = append(words, "--allow-outage")
	}
	words = append(words, "--dialect", o.dialect, "--patience", o.patience.String())
	return strings.ReplaceAll(strings.Join(words, " "), "%", "%%") + " --spec '%s'"
}
