// SPDX-License-Identifier: Apache-2.0

// Package loopback puts a tester and the reference's server into one process, with a soft wire between them, so that every
// attack runs in milliseconds and against any configuration of the server, conforming or not.
package loopback

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

const (
	rails      = 2
	deviceSize = 1 << 20
	blockSize  = 512
)

// Names of the two exports.
const (
	Attacked  = "ram0"
	Bystander = "ram1"
)

// Geometry is what the server has unless its configuration is changed: quick to set up, and with no power of two as depth,
// so that a chunk number that does not exist can be expressed.
var Geometry = ibtrs.Geometry{QueueDepth: 10, MaxIOSize: 16384 - 4096, MaxHeaderSize: 4096}

// Loopback is a server and the devices on both sides of its wire.
type Loopback struct {
	Server  *ibnbd.Server
	target  tester.Target
	hub     *soft.Hub
	devices []*soft.Device
	config  ibnbd.ServerConfig
}

// Start starts a server with two exports. Its configuration can be changed before; change may be nil.
func Start(change func(*ibnbd.ServerConfig)) (*Loopback, error) {
	l := &Loopback{target: tester.Target{Exports: [2]string{Attacked, Bystander}}}
	cfg, err := configuration(deviceSize)
	if err != nil {
		return nil, err
	}
	if err := l.wire(&cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if change != nil {
		change(&cfg)
	}
	l.config = cfg
	if err := l.listen(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// configuration is that of a server without devices and with two exports: the first has the size, and the second a little more, so that
// taking one for the other shows.
func configuration(size int64) (ibnbd.ServerConfig, error) {
	cfg := ibnbd.DefaultServerConfig()
	cfg.Transport.Geometry = Geometry
	cfg.Workers = 2
	for i, name := range []string{Attacked, Bystander} {
		memory, err := backend.NewMemory(size+int64(i)*64<<10, blockSize)
		if err != nil {
			return cfg, fmt.Errorf("export %s: %w", name, err)
		}
		cfg.Exports = append(cfg.Exports, ibnbd.Export{Path: name, Backend: memory})
	}
	return cfg, nil
}

// StartFor is Start with the queue depth that an attack needs.
func StartFor(a attacks.Attack, change func(*ibnbd.ServerConfig)) (*Loopback, error) {
	return Start(func(cfg *ibnbd.ServerConfig) {
		if a.Depth != 0 {
			cfg.Transport.Geometry.QueueDepth = uint16(a.Depth)
		}
		if change != nil {
			change(cfg)
		}
	})
}

func (l *Loopback) listen() (err error) {
	l.Server, err = ibnbd.Listen(l.config)
	return err
}

// Restart ends the server and starts it again with the same configuration. The disks behind its exports must outlive being
// closed by the server; between may change what lies on them.
func (l *Loopback) Restart(between func()) error {
	err := l.Server.Close()
	l.Server = nil
	between()
	return errors.Join(err, l.listen())
}

// wire makes the devices of both sides.
func (l *Loopback) wire(cfg *ibnbd.ServerConfig) error {
	l.hub = soft.NewHub()
	for rail := range byte(rails) {
		client, err := l.open(l.hub, netip.AddrFrom4([4]byte{10, 0, rail, 1}))
		if err != nil {
			return err
		}
		server, err := l.open(l.hub, netip.AddrFrom4([4]byte{10, 0, rail, 2}))
		if err != nil {
			return err
		}
		cfg.Transport.Devices = append(cfg.Transport.Devices, server)
		l.target.Rails = append(l.target.Rails, tester.Rail{
			Device: client, Addr: netip.AddrPortFrom(server.Addr(), ibtrs.DefaultPort),
		})
	}
	return nil
}

func (l *Loopback) open(hub *soft.Hub, addr netip.Addr) (*soft.Device, error) {
	link, err := hub.Attach(addr, 0)
	if err != nil {
		return nil, err
	}
	d, err := soft.Open(link, soft.Config{TrustLink: true})
	if err == nil {
		l.devices = append(l.devices, d)
	}
	return d, err
}

// Ways are so many ways to the server, no two of them between the same addresses.
func (l *Loopback) Ways(count int) ([]tester.Rail, error) {
	var ways []tester.Rail
	for i := range count {
		to := l.target.Rails[i%rails]
		if i%rails == 0 {
			client, err := l.open(l.hub, netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}))
			if err != nil {
				return nil, err
			}
			to.Device = client
		} else {
			to.Device = ways[i-1].Device
		}
		ways = append(ways, to)
	}
	return ways, nil
}

// Target is the server as a tester sees it.
func (l *Loopback) Target() tester.Target { return l.target }

// Close stops the server and takes the wire down. It fails when something was left behind.
func (l *Loopback) Close() error {
	var errs []error
	if l.Server != nil {
		errs = append(errs, l.Server.Close())
	}
	for _, d := range l.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
