// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/vm"
)

// IBSRP is an initiator in the kernel that is administered through the files of ib_srp: that of mainline Linux, or this project's.
type IBSRP struct {
	host       *vm.Host
	facts      implementation.Facts
	version    string
	parameters []string // of the module
	modules    []string // in the order in which they are unloaded; the driver of disks is the kernel's, and stays
}

// NewIBSRP makes the initiator of mainline Linux on a host whose kernel has the given release.
func NewIBSRP(h *vm.Host, release string) *IBSRP {
	return &IBSRP{host: h, facts: mainline, version: release, modules: []string{ibSRP, "scsi_transport_srp"}}
}

// Info describes the initiator.
func (i *IBSRP) Info() Info { return info(i.facts, clauses.Initiator, i.version) }

const (
	ibSRP      = "ib_srp"
	diskDriver = "sd_mod"
)

// Start loads the modules.
func (i *IBSRP) Start(ctx context.Context) error {
	if err := i.host.Agent().LoadModule(ctx, diskDriver); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("start ib_srp: %w", err)
	}
	if err := i.host.Agent().LoadModule(ctx, ibSRP, i.parameters...); err != nil {
		return fmt.Errorf("start ib_srp: %w", err)
	}
	return nil
}

// Stop unloads the modules, which removes all ports.
func (i *IBSRP) Stop(ctx context.Context) error {
	if err := machine.Unload(ctx, i.host, i.modules...); err != nil {
		return fmt.Errorf("stop ib_srp: %w", err)
	}
	return nil
}

// Where the files are.
const (
	remotePorts = "/sys/class/srp_remote_ports"
	scsiDevices = "/sys/class/scsi_device"
)

// AddTarget is the file to which the login strings of a rail are written.
func AddTarget(h *vm.Host, rail int) string {
	return path.Join("/sys/class/infiniband_srp", "srp-"+h.NIC(rail).RDMA+"-1", "add_target")
}

// Dir is the directory of a port.
func (p Port) Dir() string { return path.Join(remotePorts, p.Name) }

// HostDir is the directory of its SCSI host.
func (p Port) HostDir() string { return path.Join("/sys/class/scsi_host", "host"+strconv.Itoa(p.Host)) }

// DeviceDir is the directory of a disk as a SCSI device.
func (d Disk) DeviceDir() string { return path.Join(scsiDevices, d.Address, "device") }

// Connect writes the login string, and finds the port that is new.
func (i *IBSRP) Connect(ctx context.Context, l Login) (Port, error) {
	before, err := i.Ports(ctx)
	if err != nil {
		return Port{}, err
	}
	if err := i.host.Agent().WriteFile(ctx, AddTarget(i.host, l.Rail), []byte(l.Line())); err != nil {
		return Port{}, fmt.Errorf("add_target <- %q: %w", l.Line(), err)
	}
	known := make(map[string]bool)
	for _, p := range before {
		known[p.Name] = true
	}
	after, err := i.Ports(ctx)
	if err != nil {
		return Port{}, err
	}
	for _, p := range after {
		if !known[p.Name] {
			p.Disks, err = i.awaitDisks(ctx, p.Host)
			return p, err
		}
	}
	return Port{}, fmt.Errorf("add_target <- %q: the write succeeds, and there is no new port", l.Line())
}

// How long, and how often, the driver of disks is looked at, which has a disk some time after its unit was found.
const (
	diskTime = 10 * time.Second
	diskLook = 50 * time.Millisecond
)

// awaitDisks waits until each unit of a host is a disk.
func (i *IBSRP) awaitDisks(ctx context.Context, host int) ([]Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	look := time.NewTicker(diskLook)
	defer look.Stop()
	for {
		units, err := i.host.Agent().Glob(ctx, path.Join(scsiDevices, strconv.Itoa(host)+":*"))
		if err != nil {
			return nil, err
		}
		disks, err := i.disks(ctx, host)
		if err != nil || len(disks) == len(units) {
			return disks, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("of %d units of host %d, %d are disks: %w", len(units), host, len(disks), ctx.Err())
		}
	}
}

// Ports lists the ports that the class of the transport has.
func (i *IBSRP) Ports(ctx context.Context) ([]Port, error) {
	dirs, err := i.host.Agent().Glob(ctx, path.Join(remotePorts, "port-*"))
	if err != nil {
		return nil, fmt.Errorf("list ports: %w", err)
	}
	var ports []Port
	for _, dir := range dirs {
		p := Port{Name: path.Base(dir)}
		number, _, _ := strings.Cut(strings.TrimPrefix(p.Name, "port-"), ":")
		if p.Host, err = strconv.Atoi(number); err != nil {
			return nil, fmt.Errorf("port %q is not named port-HOST:NUMBER", p.Name)
		}
		if p.Disks, err = i.disks(ctx, p.Host); err != nil {
			return nil, fmt.Errorf("list disks of %s: %w", p.Name, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// disks are those of a SCSI host.
func (i *IBSRP) disks(ctx context.Context, host int) ([]Disk, error) {
	const block = "/device/block/"
	found, err := i.host.Agent().Glob(ctx, path.Join(scsiDevices, strconv.Itoa(host)+":*", block, "*"))
	var disks []Disk
	for _, dir := range found {
		address, name, _ := strings.Cut(strings.TrimPrefix(dir, scsiDevices+"/"), block)
		disks = append(disks, Disk{Name: name, Address: address})
	}
	sortDisks(disks)
	return disks, err
}

// Delete writes to the port's file.
func (i *IBSRP) Delete(ctx context.Context, p Port) error {
	return i.host.Agent().WriteFile(ctx, path.Join(p.Dir(), "delete"), []byte("1"))
}

// Look reads the state files.
func (i *IBSRP) Look(ctx context.Context, p Port) (Look, error) {
	port := path.Join(p.Dir(), "state")
	patterns := []string{port}
	names := make(map[string]string)
	for _, d := range p.Disks {
		file := path.Join(d.DeviceDir(), "state")
		patterns, names[file] = append(patterns, file), d.Name
	}
	files, err := i.host.Agent().ReadFiles(ctx, patterns...)
	if err != nil {
		return Look{}, fmt.Errorf("look at %s: %w", p.Name, err)
	}
	look := Look{Port: Gone, Disks: make(map[string]string)}
	for _, f := range files {
		if f.Path == port {
			look.Port = machine.Word(f.Bytes)
			continue
		}
		look.Disks[names[f.Path]] = machine.Word(f.Bytes)
	}
	return look, nil
}

// SetTimers writes the three files. What is off goes last, so that no step leaves a combination that is refused: all that is on is
// small enough for that.
func (i *IBSRP) SetTimers(ctx context.Context, p Port, t Timers) error {
	order := []struct {
		file  string
		value string
	}{
		{"dev_loss_tmo", "off"},
		{"fast_io_fail_tmo", Seconds(t.FastIOFail)},
		{"dev_loss_tmo", Seconds(t.DevLoss)},
		{"reconnect_delay", Seconds(t.ReconnectDelay)},
	}
	if t.FastIOFail < 0 { // so that dev_loss_tmo is not beyond what is allowed then
		order[1], order[2] = order[2], order[1]
	}
	for _, w := range order {
		if err := i.host.Agent().WriteFile(ctx, path.Join(p.Dir(), w.file), []byte(w.value)); err != nil {
			return fmt.Errorf("set %s of %s to %s: %w", w.file, p.Name, w.value, err)
		}
	}
	return nil
}
