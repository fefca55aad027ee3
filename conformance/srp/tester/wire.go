// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// What the tester can do to packets at its own end of the wire. That takes the provider soft.

// errNoPackets is the end of an attack that cannot reach its own packets.
var errNoPackets = fmt.Errorf("packets can be held back over the provider soft alone: %w", ErrInapplicable)

// softDevice is a device whose packets can be reached.
func softDevice(d rdma.Device) (*soft.Device, error) {
	device, ok := d.(*soft.Device)
	if !ok {
		return nil, errNoPackets
	}
	return device, nil
}

// Inject puts a fault on the packets of the channel that go out, or come in, as its stage says.
func (c *Channel) Inject(f soft.Fault) (*soft.Injection, error) {
	device, err := softDevice(c.device)
	if err != nil {
		return nil, err
	}
	conn := c.conn.(*soft.Conn) // of that device
	number, match := conn.QPN(), f.Match
	if f.Stage == soft.Made || f.Stage == soft.Sealed {
		number = conn.RemoteQPN()
	}
	f.Match = func(p *soft.Packet) bool { return p.DestQP() == number && (match == nil || match(p)) }
	return c.tester.inject(device, f), nil
}

// inject puts a fault on a device, for as long as the tester lives.
func (t *Tester) inject(device *soft.Device, f soft.Fault) *soft.Injection {
	injection := device.Inject(f)
	t.faults = append(t.faults, injection)
	return injection
}

// DelayReads lets RDMA READ requests of the target arrive late, so that commands with data-out stay outstanding meanwhile.
func (c *Channel) DelayReads(d time.Duration) (*soft.Injection, error) {
	return c.Inject(soft.Fault{
		Stage: soft.Arrived, Delay: d, Match: func(p *soft.Packet) bool { return p.OpCode() == roce.RCReadRequest },
	})
}

// Vanish lets no packet of the channel pass any more, as if the initiator's machine had died.
func (c *Channel) Vanish() error {
	for _, stage := range []soft.Stage{soft.Made, soft.Arrived} {
		if _, err := c.Inject(soft.Fault{Stage: stage, Drop: true}); err != nil {
			return err
		}
	}
	c.abandoned = true
	return nil
}

// Injected puts a fault on all packets of the device of a rail.
func (t *Tester) Injected(rail int, f soft.Fault) (*soft.Injection, error) {
	device, err := softDevice(t.target.Rails[rail].Device)
	if err != nil {
		return nil, err
	}
	return t.inject(device, f), nil
}

// IsConfirmation matches the message of the connection manager by which an initiator confirms a connection (RTU).
func IsConfirmation(p *soft.Packet) bool {
	if p.OpCode() != roce.UDSendOnly {
		return false
	}
	_, m, err := roce.DecodeCM(p.Data())
	if err != nil {
		return false
	}
	_, is := m.(*roce.CMRtu)
	return is
}
