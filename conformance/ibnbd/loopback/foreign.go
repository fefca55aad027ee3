// SPDX-License-Identifier: Apache-2.0

package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// ForeignGeometry is what a foreign server has unless its configuration is changed: chunks as large as usual, and not many.
var ForeignGeometry = ibtrs.Geometry{QueueDepth: Geometry.QueueDepth, MaxIOSize: 128<<10 - 4096, MaxHeaderSize: 4096}

// foreignSize is that of its exports, in bytes: enough for a scratch range of any size that is usual.
const foreignSize = 16 << 20

// Foreign is a server at loopback addresses of this machine, which runs against somebody else's target can reach.
type Foreign struct {
	// Config is what the owner of such a server would say of it. Its data may be lost.
	Config foreign.Config

	server  *ibnbd.Server
	devices []*soft.Device
}

// StartForeign starts a server with two exports and two addresses. Its configuration can be changed before; change may be nil. Its devices take packets
// whose ICRC is wrong, so that they can be altered on their way.
func StartForeign(change func(*ibnbd.ServerConfig)) (*Foreign, error) {
	f := &Foreign{Config: foreign.Config{
		Name: "mutant", Dialect: catalogue.IBNBD, Exports: []string{Attacked, Bystander}, Consent: foreign.Consent{Loss: []string{Attacked, Bystander}, Outage: true},
	}}
	cfg, err := configuration(foreignSize)
	if err != nil {
		return nil, err
	}
	cfg.Transport.Geometry = ForeignGeometry
	if err := f.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for _, d := range f.devices {
		cfg.Transport.Devices = append(cfg.Transport.Devices, d)
	}
	if change != nil {
		change(&cfg)
	}
	if f.server, err = ibnbd.Listen(cfg); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open makes the devices, at addresses that nobody has.
func (f *Foreign) open() error {
	const attempts = 100
	for range attempts {
		net := [3]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250))}
		err := f.openIn(net)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if err := f.closeDevices(); err != nil {
			return err
		}
	}
	return fmt.Errorf("no loopback address is free after %d attempts: %w", attempts, syscall.EADDRINUSE)
}

// openIn makes a device for each rail, and leaves the address in front of it to the other side.
func (f *Foreign) openIn(net [3]byte) error {
	f.Config.Targets, f.Config.Place.Source = nil, nil
	for rail := range byte(rails) {
		host := func(number byte) netip.Addr { return netip.AddrFrom4([4]byte{net[0], net[1], net[2], number}) }
		own, other := host(2*rail+2), host(2*rail+1)
		link, err := soft.OpenUDP(own)
		if err != nil {
			return err
		}
		device, err := soft.Open(link, soft.Config{Rules: soft.Rules{IgnoreICRC: true}})
		if err != nil {
			return err
		}
		f.devices = append(f.devices, device)
		f.Config.Targets = append(f.Config.Targets, netip.AddrPortFrom(own, ibtrs.DefaultPort))
		f.Config.Place.Source = append(f.Config.Place.Source, netip.PrefixFrom(other, other.BitLen()))
	}
	return nil
}

func (f *Foreign) closeDevices() error {
	var errs []error
	for _, d := range f.devices {
		errs = append(errs, d.Close())
	}
	f.devices = nil
	return errors.Join(errs...)
}

// Close stops the server. It fails when something was left behind.
func (f *Foreign) Close() error {
	var err error
	if f.server != nil {
		err = f.server.Close()
	}
	return errors.Join(err, f.closeDevices())
}
