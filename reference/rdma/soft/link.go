// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Link carries packets between a [Device] and its peers. The protocol engine does not know which link it runs on. A
// device owns its link and closes it.
type Link interface {
	// Addr is the local address.
	Addr() netip.Addr
	// MTU is the largest IP packet that the link takes, in bytes.
	MTU() int
	// SourcePort is the UDP source port that every packet must have because the link can send no other; 0 lets the
	// device choose.
	SourcePort() uint16
	// Send takes all the packets and sends them in order. It may lose some, as networks do; an error says that the link
	// is closed or that this machine refuses to send. It never waits for the peer.
	Send(packets []*Packet) error
	// Wait returns when the link has room to send more, for those who would otherwise send faster than it takes.
	Wait()
	// Receive waits for packets and gives those that have come, at least one; the slice is good until the next call,
	// the packets are the caller's. After Close it returns an error wrapping rdma.ErrClosed. It has one caller.
	Receive() ([]*Packet, error)
	// Close ends Receive.
	Close() error
}

// ObservedLink shows what goes over a link to a function: before it is sent, and before the device has it, so that nothing is seen
// before its cause. The packets must be neither changed nor kept.
type ObservedLink struct {
	Link
	Observe func(packets []*Packet)
}

// Send shows the packets and sends them.
func (l ObservedLink) Send(packets []*Packet) error {
	l.Observe(packets)
	return l.Link.Send(packets)
}

// Receive waits for packets and shows them, whatever the device makes of them.
func (l ObservedLink) Receive() ([]*Packet, error) {
	packets, err := l.Link.Receive()
	l.Observe(packets)
	return packets, err
}

// errLinkClosed is what a closed link returns.
var errLinkClosed = fmt.Errorf("link %w", rdma.ErrClosed)

// checkLinkAddr refuses an address that RoCEv2 cannot use: it is part of every packet's check sum.
func checkLinkAddr(addr netip.Addr) error {
	switch {
	case !addr.IsValid():
		return errors.New("soft: the link's address is not set")
	case addr.IsUnspecified() || addr.IsMulticast():
		return fmt.Errorf("soft: the link's address is %s, must be one address of one interface", addr)
	case addr.Is4In6():
		return fmt.Errorf("soft: the link's address %s is IPv4 in IPv6, must be plain IPv4", addr)
	}
	return nil
}
