// SPDX-License-Identifier: Apache-2.0

// Package loopback puts the reference's target behind loopback addresses of this machine, where runs against somebody else's
// target can reach it, so that every attack runs in milliseconds and against any configuration of the target, broken ones included.
package loopback

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

const (
	rails     = 2
	unitSize  = 8 << 20
	blockSize = 512

	// The target port.
	idExt   = 0x1112131415161718
	iocGUID = 0x2122232425262728
)

// Names of the two logical units.
const (
	Attacked  = "0"
	Bystander = "300" // a number that needs flat space addressing
)

// Target is a target at loopback addresses, with two units in memory.
type Target struct {
	// Config is what the owner of such a target would say of it. Its data may be lost.
	Config foreign.Config

	target  *srp.Target
	devices []*soft.Device
	own     []*soft.Device // of testers
	disks   []backend.Backend
	config  srp.TargetConfig
}

// Settings are what a target is started with.
type Settings struct {
	*srp.TargetConfig
	Device *soft.Config // of its devices
	Disks  []backend.Backend
}

// Start starts a target. Its settings can be changed before; change may be nil.
func Start(change func(*Settings)) (*Target, error) {
	t := &Target{Config: foreign.Config{
		Name: "loopback", Dialect: catalogue.SRP, Exports: []string{Attacked, Bystander},
		Identity: map[string]string{"id-ext": fmt.Sprintf("%#x", uint64(idExt)), "ioc-guid": fmt.Sprintf("%#x", uint64(iocGUID))},
		Consent:  foreign.Consent{Loss: []string{Attacked, Bystander}, Outage: true},
	}}
	t.config = srp.DefaultTargetConfig()
	t.config.Port = srp.NewPortID(idExt, iocGUID, srp.IOClassRev16a)
	t.config.RequestLimit, t.config.SpareCredits, t.config.Workers = 16, 16, 2
	t.config.Access = map[srp.PortID]*scsi.LUNs{attacks.DeniedPort: nil}
	if err := t.start(change); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Target) start(change func(*Settings)) error {
	for range rails {
		memory, err := backend.NewMemory(unitSize, blockSize)
		if err != nil {
			return err
		}
		t.disks = append(t.disks, memory)
	}
	s := Settings{TargetConfig: &t.config, Device: &soft.Config{}, Disks: t.disks}
	if change != nil {
		change(&s)
	}
	if err := t.addUnits(s.Disks); err != nil {
		return err
	}
	if err := t.open(*s.Device); err != nil {
		return err
	}
	for _, d := range t.devices {
		t.config.Devices = append(t.config.Devices, d)
	}
	var err error
	t.target, err = srp.Listen(t.config)
	return err
}

// addUnits puts the disks under the numbers of the two units.
func (t *Target) addUnits(disks []backend.Backend) error {
	t.config.Everybody = scsi.NewLUNs()
	for i, name := range []string{Attacked, Bystander} {
		cfg := scsi.DefaultUnitConfig()
		cfg.Serial = "loopback-" + name
		u, err := scsi.NewUnit(disks[i], cfg)
		if err != nil {
			return err
		}
		number, err := strconv.ParseUint(name, 10, 16)
		if err != nil {
			return err
		}
		if err := t.config.Everybody.Add(uint16(number), u); err != nil {
			return err
		}
	}
	return nil
}

// open makes the devices, at addresses that nobody has.
func (t *Target) open(cfg soft.Config) error {
	const attempts = 100
	for range attempts {
		err := t.openIn([3]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250))}, cfg)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if err := closeAll(&t.devices); err != nil {
			return err
		}
	}
	return fmt.Errorf("no loopback address is free after %d attempts: %w", attempts, syscall.EADDRINUSE)
}

// openIn makes a device for each rail, and leaves the address in front of it to the other side.
func (t *Target) openIn(net [3]byte, cfg soft.Config) error {
	t.Config.Targets, t.Config.Place.Source = nil, nil
	for rail := range byte(rails) {
		host := func(number byte) netip.Addr { return netip.AddrFrom4([4]byte{net[0], net[1], net[2], number}) }
		own, other := host(2*rail+2), host(2*rail+1)
		device, err := openDevice(own, cfg)
		if err != nil {
			return err
		}
		t.devices = append(t.devices, device)
		t.Config.Targets = append(t.Config.Targets, netip.AddrPortFrom(own, srp.DefaultTargetPort))
		t.Config.Place.Source = append(t.Config.Place.Source, netip.PrefixFrom(other, other.BitLen()))
	}
	return nil
}

func openDevice(addr netip.Addr, cfg soft.Config) (*soft.Device, error) {
	link, err := soft.OpenUDP(addr)
	if err != nil {
		return nil, err
	}
	return soft.Open(link, cfg)
}

// Tested opens devices for a tester and gives the target as the tester sees it.
func (t *Target) Tested() (tester.Target, error) {
	target := tester.Target{Port: t.config.Port, LUNs: [2]srp.LUN{{}, mustLUN(Bystander)}, Control: t.Control}
	for i, source := range t.Config.Place.Source {
		device, err := openDevice(source.Addr(), soft.Config{})
		if err != nil {
			return target, err
		}
		t.own = append(t.own, device)
		target.Rails = append(target.Rails, tester.Rail{Device: rdma.Device(device), Addr: t.Config.Targets[i]})
	}
	return target, nil
}

func mustLUN(name string) srp.LUN {
	number, err := strconv.ParseUint(name, 10, 16)
	if err != nil {
		panic(err) // a constant of this package
	}
	lun, err := scsi.NewLUN(uint16(number))
	if err != nil {
		panic(err)
	}
	return lun
}

// Control does what the owner of the target does for an attack.
func (t *Target) Control(_ context.Context, action foreign.Action, arguments ...string) error {
	switch action {
	case attacks.Disable, attacks.Enable:
		t.target.Enable(action == attacks.Enable)
		return nil
	case attacks.Deny:
		return nil // the port of the attacks has no access from the beginning
	}
	c, err := t.channelOf(arguments[0])
	if err != nil {
		return err
	}
	switch action {
	case attacks.GiveCredits:
		delta, err := strconv.ParseInt(arguments[1], 10, 32)
		if err != nil {
			return err
		}
		return c.GiveCredits(int32(delta))
	case attacks.ReportEvent:
		return c.Report(srp.LUN{}, scsi.Sense{Key: scsi.UnitAttention, Code: scsi.ReportedLUNsChanged}.AppendFixed(nil), 0)
	case attacks.LogOut:
		c.Logout(srp.LogoutInactive)
		return nil
	}
	return fmt.Errorf("%s: %w", action, foreign.ErrNotSupported)
}

// channelOf finds the first channel of an initiator port, which is written as 32 hexadecimal digits.
func (t *Target) channelOf(port string) (*srp.TargetChannel, error) {
	id, err := hex.DecodeString(port)
	if err != nil || len(id) != len(srp.PortID{}) {
		return nil, fmt.Errorf("initiator port %q is not 32 hexadecimal digits", port)
	}
	for _, n := range t.target.Nexuses() {
		if channels := n.Channels(); n.Initiator() == srp.PortID(id) && len(channels) > 0 {
			return channels[0], nil
		}
	}
	return nil, fmt.Errorf("initiator port %s has no channel", port)
}

// Close stops the target and takes the devices down. It fails when something was left behind.
func (t *Target) Close() error {
	var errs []error
	errs = append(errs, closeAll(&t.own))
	if t.target != nil {
		errs = append(errs, t.target.Close())
	}
	errs = append(errs, closeAll(&t.devices))
	for _, d := range t.disks {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

func closeAll(devices *[]*soft.Device) error {
	var errs []error
	for _, d := range *devices {
		errs = append(errs, d.Close())
	}
	*devices = nil
	return errors.Join(errs...)
}
