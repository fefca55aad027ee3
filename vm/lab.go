// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
	"github.com/ibnbd/ibnbd/vm/qemu"
)

// Lab is hosts on rails. Its methods, and those of its hosts, may be called from any goroutine; but what changes a host
// (reboot, replacement) is for one at a time.
type Lab struct {
	spec    Config
	choice  qemu.Choice
	dir     string // consoles and logs
	sockets string // a short path; removed by Close
	fabric  *fabric.Fabric
	rails   []*fabric.Rail
	hosts   []*Host
}

// Start makes a lab and returns when all its hosts are ready. The context bounds the start alone; [Lab.Close] ends the lab.
// What this machine lacks, or a guest that does not come up, is an [EnvironmentError]; nothing is left running then.
func Start(ctx context.Context, spec Config) (*Lab, error) {
	spec = spec.withDefaults()
	if err := spec.check(); err != nil {
		return nil, err
	}
	if err := Check(spec, 1); err != nil {
		return nil, err
	}
	l := &Lab{spec: spec}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// PickAccelerator settles how the guests of a lab would run, without making one: whoever starts several labs side by side
// asks once, and puts the answer into their specs. See [qemu.PickAccelerator].
func PickAccelerator(ctx context.Context, spec Config) (qemu.Choice, error) {
	l := &Lab{spec: spec.withDefaults()}
	if err := l.spec.check(); err != nil {
		return qemu.Choice{}, err
	}
	err := l.prepare(ctx)
	return l.choice, errors.Join(err, l.Close())
}

// prepare makes what must be there before there are wires and hosts.
func (l *Lab) prepare(ctx context.Context) error {
	if err := l.makeDirs(); err != nil {
		return &EnvironmentError{What: "make the lab's directories", Err: err, Do: "free space, or choose another directory"}
	}
	err := l.pickAccelerator(ctx)
	if err == nil || errors.Is(err, qemu.ErrNotInstalled) || ctx.Err() != nil {
		return environment(ctx, err, "try whether guests boot on KVM", "")
	}
	return &EnvironmentError{
		What: "try whether guests boot on KVM", Err: err,
		Do: "see that " + qemu.DefaultBinary + " runs, and that files can be made in " + l.cache(),
	}
}

func (l *Lab) start(ctx context.Context) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	if err := l.wire(); err != nil {
		return err
	}
	if err := l.bootAll(ctx); err != nil {
		return err
	}
	return l.ResolveNeighbours(ctx)
}

// makeDirs makes the directory for what stays and the one for sockets, whose paths must be short.
func (l *Lab) makeDirs() (err error) {
	if l.sockets, err = os.MkdirTemp("", "lab"); err != nil {
		return err
	}
	l.dir = l.spec.Dir
	if l.dir == "" {
		l.dir = l.sockets
		return nil
	}
	return os.MkdirAll(l.dir, 0o755)
}

// pickAccelerator settles how guests run, by booting one on KVM where the spec leaves it open.
func (l *Lab) pickAccelerator(ctx context.Context) (err error) {
	if l.spec.Accelerator != "" {
		l.choice = qemu.Choice{Accelerator: l.spec.Accelerator, Reason: "asked for"}
		return nil
	}
	answers := func(ctx context.Context, m *qemu.Machine) error {
		client, err := dialAgent(ctx, m)
		if err != nil {
			return err
		}
		return client.Close()
	}
	probe := l.machineConfig("probe")
	probe.IOMMU = false // the choice is kept for labs of all kinds
	l.choice, err = qemu.PickAccelerator(ctx, probe, l.cache(), answers)
	return err
}

// cache is where the choice of an accelerator is kept.
func (l *Lab) cache() string {
	if l.spec.Cache == "" {
		return os.TempDir()
	}
	return l.spec.Cache
}

// wire makes rails, hosts and what joins them.
func (l *Lab) wire() (err error) {
	if !l.spec.Direct {
		if l.fabric, err = fabric.New(l.sockets); err != nil {
			return err
		}
		for r := range l.spec.Rails {
			rail, err := l.fabric.AddRail(railName(r))
			if err != nil {
				return err
			}
			l.rails = append(l.rails, rail)
		}
	}
	for i, name := range l.spec.Hosts {
		host, err := newHost(l, name, i+1)
		if err != nil {
			return err
		}
		l.hosts = append(l.hosts, host)
	}
	return nil
}

// bootAll makes all hosts ready. That none of them lives on is why templates can be used: a host from a template has the
// identifiers of its predecessor, and a neighbour that still knows that one would take it for the same.
func (l *Lab) bootAll(ctx context.Context) error {
	if l.spec.Templates != "" && l.choice.Accelerator == qemu.TCG {
		return l.bootFromTemplates(ctx)
	}
	return l.boot(ctx, fromKernel)
}

// boot starts the hosts side by side. On a direct wire the one that listens is launched first. Hosts that are alike fail
// alike, so the error is that of the first alone.
func (l *Lab) boot(ctx context.Context, from beginning) error {
	for _, h := range l.hosts {
		if err := h.launch(ctx, from); err != nil {
			return err
		}
	}
	settled := make([]error, len(l.hosts))
	_ = l.each(func(h *Host) error {
		settled[h.number-1] = h.settle(ctx, from)
		return nil
	})
	return cmp.Or(settled...)
}

// each does something to all hosts side by side.
func (l *Lab) each(do func(*Host) error) error {
	errs := make([]error, len(l.hosts))
	var wg sync.WaitGroup
	for i, h := range l.hosts {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// ResolveNeighbours has every host reach its next neighbour on every rail, by IPv4 and IPv6, so that neighbours know each other. Hosts
// that have new machines need it: Linux 6.12 has been seen to resolve an address for RDMA for all of 30 s when the neighbour
// answered at once.
func (l *Lab) ResolveNeighbours(ctx context.Context) error {
	if len(l.hosts) < 2 {
		return nil
	}
	return l.each(func(h *Host) error {
		neighbour := l.hosts[h.number%len(l.hosts)]
		for _, nic := range neighbour.nics {
			for _, prefix := range []string{nic.IPv4.Addr().String(), nic.IPv6.Addr().String()} {
				if err := h.Ping(ctx, prefix); err != nil {
					return environment(ctx, err, "reach a neighbour from host "+h.name, h.Machine().Config().Console())
				}
			}
		}
		return nil
	})
}

// machineConfig is what all machines of the lab have in common.
func (l *Lab) machineConfig(name string) qemu.Config {
	return qemu.Config{
		Name: name, Dir: l.dir, Sockets: l.sockets,
		Kernel: l.spec.Image.Kernel, Initrd: l.spec.Image.Initramfs, Append: joinWords(l.spec.Image.KernelArgs),
		Memory: l.spec.Memory, CPUs: l.spec.CPUs, IOMMU: l.spec.IOMMU, Accelerator: l.choice.Accelerator, Counter: l.spec.Counter,
	}
}

// Hosts returns the hosts in the order of the spec.
func (l *Lab) Hosts() []*Host { return append([]*Host(nil), l.hosts...) }

// Host returns the host of that name, or nil.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// Rails returns the rails, in order; none where the lab is wired directly.
func (l *Lab) Rails() []*fabric.Rail { return append([]*fabric.Rail(nil), l.rails...) }

// Fabric returns the wire; nil where the lab is wired directly.
func (l *Lab) Fabric() *fabric.Fabric { return l.fabric }

// Config returns what the lab was made from, defaults filled in.
func (l *Lab) Config() Config { return l.spec }

// Accelerator says how guests run, and why so.
func (l *Lab) Accelerator() qemu.Choice { return l.choice }

// Dir is where consoles and kernel logs are.
func (l *Lab) Dir() string { return l.dir }

// Reset brings the lab back to a known state: no faults, carriers up, held frames gone out, hung hosts awake, dead hosts
// replaced. It returns the hosts that have new machines; what was set up on them is gone.
func (l *Lab) Reset(ctx context.Context) (replaced []*Host, err error) {
	if l.fabric != nil {
		if err := l.fabric.Reset(); err != nil {
			return nil, fmt.Errorf("vm: take away the faults: %w", err)
		}
	}
	fresh := make([]bool, len(l.hosts))
	err = l.each(func(h *Host) (err error) {
		fresh[h.number-1], err = h.revive(ctx)
		return err
	})
	for i, h := range l.hosts {
		if fresh[i] {
			replaced = append(replaced, h)
		}
	}
	return replaced, err
}

// Replace gives a host a new machine, whatever became of the old one, and returns when the host is ready.
func (l *Lab) Replace(ctx context.Context, h *Host) error { return h.replace(ctx) }

// ReplaceAll is Replace for all hosts, side by side.
func (l *Lab) ReplaceAll(ctx context.Context) error {
	for _, h := range l.hosts {
		h.PowerLoss()
	}
	return l.bootAll(ctx)
}

// Recording is a recording of all rails.
type Recording struct {
	rails []*fabric.Recording
}

// Record begins to record all rails into files in dir, "<rail>.pcapng"; note stands in each. See [fabric.Rail.Record].
func (l *Lab) Record(dir, note string) (*Recording, error) {
	rec := &Recording{}
	for _, r := range l.rails {
		one, err := r.Record(filepath.Join(dir, r.Name()+".pcapng"), note)
		if err != nil {
			return nil, errors.Join(err, rec.Close())
		}
		rec.rails = append(rec.rails, one)
	}
	return rec, nil
}

// Paths returns the files.
func (r *Recording) Paths() []string {
	var paths []string
	for _, one := range r.rails {
		paths = append(paths, one.Path())
	}
	return paths
}

// Close ends the recording and makes the files whole.
func (r *Recording) Close() error {
	var errs []error
	for _, one := range r.rails {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// Close ends all machines and takes down the wire. Guests are not asked: they have nothing to save.
func (l *Lab) Close() error {
	errs := []error{l.each((*Host).close)}
	if l.fabric != nil {
		errs = append(errs, l.fabric.Close())
	}
	if l.sockets != "" {
		errs = append(errs, os.RemoveAll(l.sockets))
	}
	return errors.Join(errs...)
}

// dialAgent waits for the agent of a machine that boots. It fails at once where the machine dies.
func dialAgent(ctx context.Context, m *qemu.Machine) (*agent.Client, error) {
	conn, err := net.Dial("unix", m.Config().AgentSocket())
	if err != nil {
		return nil, fmt.Errorf("connect to the agent's socket: %w", err)
	}
	client, err := agent.Dial(ctx, conn)
	if err == nil {
		return client, nil
	}
	select { // where QEMU closed the socket it is about to end, and how it ended is the better reason
	case <-m.Done():
		return nil, cmp.Or(m.Err(), err)
	case <-ctx.Done():
		return nil, err
	}
}
