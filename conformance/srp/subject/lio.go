// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/reference/srp"
	"github.com/ibnbd/ibnbd/vm"
)

// LIO is the target of mainline Linux with ib_srpt in front of it, administered through configfs. Its units are in memory.
type LIO struct {
	host    *vm.Host
	release string
}

// NewLIO makes the target on a host whose kernel has the given release.
func NewLIO(h *vm.Host, release string) *LIO { return &LIO{h, release} }

// Info describes the target.
func (t *LIO) Info() Info { return info(mainline, clauses.Target, t.release) }

// Its modules, in the order in which they are unloaded. It asks for the backends itself, of which those are loaded that the guest has.
var lioModules = []string{"ib_srpt", "target_core_file", "target_core_iblock", "target_core_mod"}

// Its directories.
const (
	lioDir    = "/sys/kernel/config/target"
	lioCore   = lioDir + "/core/rd_mcp_0" // the ramdisks that LIO itself brings
	lioFabric = lioDir + "/srpt"
	lioPage   = 4096 // of such a ramdisk, in bytes
	lioACL    = "acls"
)

// step is one thing that an administrator does to configfs.
type step struct {
	name  string // of a directory, a file or a link
	write string // the text that is written to the file
	link  string // what the link leads to; where neither is given, name is a directory
}

// do does it. Undone by undo is what was made: a file stays.
func (s step) do(ctx context.Context, h Host) error {
	switch {
	case s.link != "":
		return h.Agent().Symlink(ctx, s.link, s.name)
	case s.write != "":
		return h.Agent().WriteFile(ctx, s.name, []byte(s.write))
	}
	return h.Agent().Mkdir(ctx, s.name)
}

func (s step) undo(ctx context.Context, h Host) error {
	if s.write != "" {
		return nil
	}
	if err := h.Agent().Remove(ctx, s.name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Start loads the modules and configures them.
func (t *LIO) Start(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return fmt.Errorf("start LIO: %w", err)
	}
	return nil
}

func (t *LIO) start(ctx context.Context) error {
	if err := t.host.Agent().LoadModule(ctx, "ib_srpt", fmt.Sprintf("srpt_service_guid=%#x", uint64(iocGUID))); err != nil {
		return err
	}
	steps, err := t.steps(ctx)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := s.do(ctx, t.host); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return t.enable(ctx, true)
}

// steps are those by which the target is configured, but for its being enabled.
func (t *LIO) steps(ctx context.Context) ([]step, error) {
	steps := []step{{name: lioCore}}
	for n := range Units {
		steps = append(steps, diskSteps(n, UnitSize)...)
	}
	steps = append(steps, step{name: lioFabric},
		step{name: path.Join(lioFabric, "discovery_auth/rdma_cm_port"), write: strconv.Itoa(srp.DefaultTargetPort)})
	for _, nic := range t.host.NICs() {
		group, err := t.group(ctx, nic)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{name: path.Dir(group)}, step{name: group})
		for n := range Units {
			steps = append(steps, unitSteps(group, n)...)
		}
		for _, acl := range lioACLs(group, nic) {
			steps = append(steps, step{name: acl})
			for n := range Units {
				steps = append(steps, mapSteps(group, acl, n)...)
			}
		}
	}
	return steps, nil
}

// diskSteps make a ramdisk of a size in bytes.
func diskSteps(unit int, size int64) []step {
	disk := lioDisk(unit)
	return []step{
		{name: disk}, {name: path.Join(disk, "control"), write: fmt.Sprintf("rd_pages=%d", size/lioPage)},
		{name: path.Join(disk, "wwn/vpd_unit_serial"), write: "unit" + strconv.Itoa(unit)}, {name: path.Join(disk, "enable"), write: "1"},
	}
}

// unitSteps make a ramdisk a unit of a target port.
func unitSteps(group string, unit int) []step {
	lun := path.Join(group, "lun", lioLUN(unit))
	return []step{{name: lun}, {name: path.Join(lun, "unit"), link: lioDisk(unit)}}
}

// mapSteps let an initiator have a unit.
func mapSteps(group, acl string, unit int) []step {
	mapped := path.Join(acl, lioLUN(unit))
	return []step{{name: mapped}, {name: path.Join(mapped, "unit"), link: path.Join(group, "lun", lioLUN(unit))}}
}

// lioACLs are the initiators of a rail. ib_srpt calls one by the address that it has connected to, written in full, whoever it is.
func lioACLs(group string, nic *vm.NIC) (all []string) {
	for _, addr := range []netip.Addr{nic.IPv4.Addr(), nic.IPv6.Addr()} {
		all = append(all, path.Join(group, lioACL, addr.StringExpanded()))
	}
	return all
}

// changeSteps are those by which one unit is there on all rails.
func (t *LIO) changeSteps(ctx context.Context, unit int, size int64) ([]step, error) {
	steps := diskSteps(unit, size)
	for _, nic := range t.host.NICs() {
		group, err := t.group(ctx, nic)
		if err != nil {
			return nil, err
		}
		steps = append(steps, unitSteps(group, unit)...)
		for _, acl := range lioACLs(group, nic) {
			steps = append(steps, mapSteps(group, acl, unit)...)
		}
	}
	return steps, nil
}

// AddUnit adds a unit, while the target serves.
func (t *LIO) AddUnit(ctx context.Context, unit int, size int64) error {
	steps, err := t.changeSteps(ctx, unit, size)
	if err != nil {
		return fmt.Errorf("add unit %d to LIO: %w", unit, err)
	}
	for _, s := range steps {
		if err := s.do(ctx, t.host); err != nil {
			return fmt.Errorf("add unit %d to LIO: %s: %w", unit, s.name, err)
		}
	}
	return nil
}

// RemoveUnit takes a unit away, while the target serves.
func (t *LIO) RemoveUnit(ctx context.Context, unit int) error {
	steps, err := t.changeSteps(ctx, unit, 0)
	if err != nil {
		return fmt.Errorf("remove unit %d of LIO: %w", unit, err)
	}
	for _, s := range slices.Backward(steps) {
		if err := s.undo(ctx, t.host); err != nil {
			return fmt.Errorf("remove unit %d of LIO: %s: %w", unit, s.name, err)
		}
	}
	return nil
}

func lioDisk(unit int) string { return path.Join(lioCore, "disk"+strconv.Itoa(unit)) }
func lioLUN(unit int) string  { return "lun_" + strconv.Itoa(unit) }

// group is the directory of the target port group on a rail, which is named after the GUID of the RDMA port.
func (t *LIO) group(ctx context.Context, nic *vm.NIC) (string, error) {
	gid, err := machine.ReadWord(ctx, t.host, path.Join("/sys/class/infiniband", nic.RDMA, "ports/1/gids/0"))
	if err != nil {
		return "", err
	}
	const groups = 8
	words := strings.Split(gid, ":")
	if len(words) != groups {
		return "", fmt.Errorf("GID %q of %s has not %d groups", gid, nic.RDMA, groups)
	}
	return path.Join(lioFabric, strings.Join(words[groups/2:], ":"), "tpgt_1"), nil
}

// enable enables or disables the target port on all rails.
func (t *LIO) enable(ctx context.Context, on bool) error {
	text := "0"
	if on {
		text = "1"
	}
	for _, nic := range t.host.NICs() {
		group, err := t.group(ctx, nic)
		if err != nil {
			return err
		}
		file := path.Join(group, "enable")
		if err := t.host.Agent().WriteFile(ctx, file, []byte(text)); err != nil {
			return fmt.Errorf("write %s to %s: %w", text, file, err)
		}
	}
	return nil
}

// Stop disables the target port, takes the configuration apart in the opposite order, and unloads the modules.
func (t *LIO) Stop(ctx context.Context) error {
	if err := t.stop(ctx); err != nil {
		return fmt.Errorf("stop LIO: %w", err)
	}
	return nil
}

func (t *LIO) stop(ctx context.Context) error {
	there, err := machine.Loaded(ctx, t.host, "ib_srpt")
	if err != nil || !there {
		return err
	}
	if err := t.enable(ctx, false); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	steps, err := t.steps(ctx)
	if err != nil {
		return err
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if err := steps[i].undo(ctx, t.host); err != nil {
			return fmt.Errorf("%s: %w", steps[i].name, err)
		}
	}
	return machine.Unload(ctx, t.host, lioModules...)
}

// Control enables and disables the port. Access of one initiator, credits, events and logouts are not in an administrator's hands.
func (t *LIO) Control(ctx context.Context, action foreign.Action, _ ...string) error {
	switch action {
	case attacks.Disable, attacks.Enable:
		return t.enable(ctx, action == attacks.Enable)
	}
	return fmt.Errorf("LIO cannot be told to %s: %w", action, foreign.ErrNotSupported)
}
