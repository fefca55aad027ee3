// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/prompt"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

const labHelp = `Boot two hosts on two rails, and do with them what the lines of the standard input say: shells on either, packets into
pcapng files, faults on the wire. "help" lists the commands. Ctrl-C ends the lab, and so does the end of the input.

Where the input is not a terminal, the first line that goes wrong ends the lab.

Exit codes:
  0  every line was done
  2  wrong usage: an unknown flag, or a line that nobody understands
  3  the lab does not come up, or a line could not be done`

const labExamples = `  ibnbd-conformance lab
  ibnbd-conformance lab --kernel 6.1 <<END
  capture start /tmp/packets
  load server rnbd-server
  fault add rail0 drop from server roce every 10
  on client ping -c 3 10.0.0.1
  capture stop
  END`

// benchFlags are the flags of the command, as the user wrote them.
type benchFlags struct {
	kernel string
	mtu    int
	iommu  bool
	dir    string
}

func newLab() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "lab", Short: "Boot two hosts, and work with them by hand", Long: labHelp, Example: labExamples,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.work(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.kernel, "kernel", image.DefaultKernel, kernelUsage())
	cmd.Flags().IntVar(&f.mtu, "mtu", vm.LargeMTU, "MTU of the guests' network cards in bytes")
	cmd.Flags().BoolVar(&f.iommu, "iommu", false, "put an IOMMU between the guests' devices and their memory")
	cmd.Flags().StringVar(&f.dir, "dir", "", "where consoles and kernel logs go, and stay; by default they are removed")
	return cmd
}

func (f benchFlags) check() error {
	if !image.IsPath(f.kernel) && !slices.Contains(image.Kernels(), f.kernel) {
		return usagef("--kernel %q is not one of %s, and no path: that has a slash", f.kernel, strings.Join(image.Kernels(), ", "))
	}
	return within("mtu", f.mtu, vm.MinMTU, vm.MaxMTU)
}

// work boots the lab and reads lines until they end. How the lab comes up is told apart from what the lines write.
func (f benchFlags) work(ctx context.Context, in io.Reader, out, progress io.Writer) error {
	spec := vm.Config{Hosts: []string{"server", "client"}, MTU: f.mtu, IOMMU: f.iommu, Dir: f.dir}
	if err := vm.Check(spec, 1); err != nil {
		return environmentf("%w", err)
	}
	var err error
	known := everyImplementation()
	wanted := image.Config{Kernel: f.kernel, Modules: implementation.Modules(known)}
	if f.kernel == image.DefaultKernel {
		// Our own modules are not written for every kernel, and those of the kernel stay as they are.
		known = slices.DeleteFunc(known, func(f implementation.Facts) bool { return f.Replaces })
		wanted.Sources = implementation.Sources(known)
	}
	spec.Image, err = image.Build(ctx, wanted, func(step string) { fmt.Fprintln(progress, step) })
	if err != nil {
		return environmentf("%w", err)
	}
	fmt.Fprintln(progress, "booting two hosts")
	lab, err := vm.Start(ctx, spec)
	if err != nil {
		return environmentf("%w", err)
	}
	err = prompt.OfLab(lab, out, isTerminal(in)).Run(ctx, in)
	if closed := lab.Close(); closed != nil && err == nil {
		err = closed
	}
	switch {
	case prompt.Usage(err):
		return usagef("%w", err)
	case err != nil:
		return environmentf("%w", err)
	}
	return nil
}

// isTerminal says whether a person types there.
func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
