// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/sysfs"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// kernelOptions choose a client in the kernel instead of those that run as programs.
type kernelOptions struct {
	family string // empty: none
	root   string // where sysfs is mounted
}

// anyFamily is what --kernel without a value means.
const anyFamily = "any"

func (k *kernelOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&k.family, "kernel", "", "steer the client in the kernel, not one that runs as a program; `FAMILY` is "+
		strings.Join(sysfs.Families(), ", ")+" (that of mainline) or "+anyFamily)
	f.Lookup("kernel").NoOptDefVal = anyFamily
	f.StringVar(&k.root, "sysfs", "/sys", "`DIRECTORY` where sysfs is mounted")
	must(f.MarkHidden("sysfs"))
	must(c.RegisterFlagCompletionFunc("kernel", cobra.FixedCompletions(append(sysfs.Families(), anyFamily), cobra.ShellCompDirectiveNoFileComp)))
}

// args checks the arguments of a command. A family behind --kernel and a blank is one of them.
func (k *kernelOptions) args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if k.family == anyFamily && len(args) > 0 && slices.Contains(append(sysfs.Families(), anyFamily), args[0]) {
			return program.Usagef("%q stands behind --kernel and a blank: write --kernel=%[1]s, or --kernel=FAMILY if it is a device", args[0])
		}
		return check(c, args)
	}
}

// must is for what only a mistake in this program makes fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (k *kernelOptions) chosen() bool { return k.family != "" }

// find gives the chosen clients: one at least.
func (k *kernelOptions) find() ([]*sysfs.Client, error) {
	if k.family == anyFamily {
		return sysfs.Find(k.root, "")
	}
	if !slices.Contains(sysfs.Families(), k.family) {
		return nil, program.Usagef("--kernel %q is none of %s, %s", k.family, strings.Join(sysfs.Families(), ", "), anyFamily)
	}
	return sysfs.Find(k.root, k.family)
}

// statuses tells of all clients: those that run as programs, or those of the kernel, a status for each session.
func (k *kernelOptions) statuses(ctx context.Context) ([]status, error) {
	if !k.chosen() {
		_, all, err := clients(ctx)
		return all, err
	}
	found, err := k.find()
	if err != nil {
		return nil, err
	}
	var all []status
	for _, client := range found {
		more, err := kernelStatuses(client)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func kernelStatuses(client *sysfs.Client) ([]status, error) {
	sessions, err := client.Sessions()
	if err != nil {
		return nil, err
	}
	devices, err := client.Devices()
	if err != nil {
		return nil, err
	}
	var all []status
	for _, s := range sessions {
		st := status{Session: s.Name, Kernel: client.Family(), Policy: s.Policy, Bounds: s.Bounds}
		for _, d := range devices {
			if d.Session == s.Name {
				st.Devices = append(st.Devices, deviceStatus{
					Path: d.Path, State: d.State, Size: d.Size, Block: d.Block, MaxIO: d.MaxIO, Access: d.Access, Node: d.Node(),
				})
			}
		}
		for _, p := range s.Paths {
			st.Paths = append(st.Paths, pathStatus{Name: p.Name, State: p.State, Stats: &p.Stats})
		}
		all = append(all, st)
	}
	return all, nil
}

// kernelFlags are those of map that a client in the kernel obeys.
var kernelFlags = []string{
	"kernel", "sysfs", "path", "port", "session", "policy", "max-reconnect-attempts", "access", "io-mode", "json", "json-errors", "disk",
}

// checkFlags refuses options that would have no effect.
func (k *kernelOptions) checkFlags(flags *pflag.FlagSet) error {
	var useless []string
	flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(kernelFlags, f.Name) {
			useless = append(useless, "--"+f.Name)
		}
	})
	if len(useless) > 0 {
		return program.Usagef("%s: not with --kernel: the kernel's client has it from parameters of its modules", strings.Join(useless, ", "))
	}
	return nil
}

// mapInKernel maps devices with the first client that is loaded.
func (k *kernelOptions) mapInKernel(out io.Writer, flags *pflag.FlagSet, o *sessionOptions, m *mapOptions, paths []string) error {
	if err := k.checkFlags(flags); err != nil {
		return err
	}
	mapping := sysfs.Mapping{Session: o.sessionName(), Port: o.port, Access: m.access, IOMode: m.ioMode}
	for _, text := range o.paths {
		p, err := address.ParseEndpoints(text)
		if err != nil {
			return program.Usagef("--path %q: %w", text, err)
		}
		mapping.Paths = append(mapping.Paths, p)
	}
	found, err := k.find()
	if err != nil {
		return err
	}
	client := found[0]
	fresh := !client.HasSession(mapping.Session)
	for _, mapping.Device = range paths {
		if err := client.Check(&mapping); err != nil {
			return &program.UsageError{Err: err}
		}
	}
	var mapped []string
	for _, mapping.Device = range paths {
		d, err := client.Map(&mapping)
		if err != nil {
			return stillMapped(err, mapped)
		}
		mapped = append(mapped, fmt.Sprintf("%s as %s", d.Path, d.Node()))
		if fresh {
			if err := setUp(client, flags, o); err != nil {
				return stillMapped(err, mapped)
			}
		}
		fresh = false
		if !m.json {
			fmt.Fprintln(out, d.Node())
		}
	}
	if m.json {
		return printKernelSession(out, client, mapping.Session)
	}
	return nil
}

// stillMapped adds to an error what stays mapped despite it.
func stillMapped(err error, mapped []string) error {
	if len(mapped) == 0 {
		return err
	}
	return fmt.Errorf("%w; still mapped: %s", err, strings.Join(mapped, ", "))
}

// setUp gives a session that is new what was chosen for it. The others keep what they have.
func setUp(client *sysfs.Client, flags *pflag.FlagSet, o *sessionOptions) error {
	if flags.Changed("policy") {
		policy, err := ibtrs.ParsePolicy(o.policy)
		if err != nil {
			return err
		}
		if err := client.Set(o.sessionName(), "mpath_policy", policy.String()); err != nil {
			return err
		}
	}
	if flags.Changed("max-reconnect-attempts") {
		return client.Set(o.sessionName(), "max_reconnect_attempts", strconv.Itoa(o.attempts))
	}
	return nil
}

// printKernelSession writes the state of a session, which is gone with its last device.
func printKernelSession(out io.Writer, client *sysfs.Client, session string) error {
	all, err := kernelStatuses(client)
	if err != nil {
		return err
	}
	for _, st := range all {
		if st.Session == session {
			return printJSON(out, st)
		}
	}
	return printJSON(out, status{Session: session, Kernel: client.Family()})
}

// unmapInKernel unmaps a device in the session of the options, or in the one that has it.
func (k *kernelOptions) unmapInKernel(out io.Writer, o *steerOptions, path string, force bool) error {
	found, err := k.find()
	if err != nil {
		return err
	}
	var fit []*sysfs.Device
	for _, client := range found {
		devices, err := client.Devices()
		if err != nil {
			return err
		}
		for _, d := range devices {
			if d.Path == path && (o.session == "" || o.session == d.Session) {
				fit = append(fit, d)
			}
		}
	}
	if len(fit) == 0 {
		return notMapped(path)
	}
	if len(fit) > 1 {
		return ambiguous(path, fit)
	}
	d := fit[0]
	if err := d.Unmap(force); err != nil || !o.json {
		return err
	}
	return printKernelSession(out, d.Client(), d.Session)
}

// ambiguous refuses to choose one of several devices of the same path.
func ambiguous(path string, devices []*sysfs.Device) error {
	var all []string
	for _, d := range devices {
		all = append(all, fmt.Sprintf("%s (session %s, client %s)", d.Node(), d.Session, d.Client().Family()))
	}
	return program.Usagef("device %q is mapped more than once: choose %s with --session or --kernel=FAMILY", path, strings.Join(all, " or "))
}
