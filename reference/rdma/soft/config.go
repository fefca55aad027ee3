// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Config tunes a device. The zero value is good; every zero field means its default.
type Config struct {
	// Name is the device's name for people; default "soft " and its address.
	Name string
	// PathMTU is the most data in one packet, in bytes: 256, 512, 1024, 2048 or 4096. Default is the largest that the
	// link lets through.
	PathMTU int
	// TrustLink leaves out the ICRC: it is sent as zero and not checked. Only for devices that talk to each other over a
	// [Hub]; anybody else drops such packets.
	TrustLink bool
	// Window is how many packets of a connection may be unacknowledged; default 128.
	Window int

	// AckDelay, when not 0, lets acknowledgements wait that long for more messages. It must be well below the peer's
	// retry period.
	AckDelay time.Duration
	// AckEvery is the number of messages that are acknowledged without waiting for AckDelay; default 16.
	AckEvery int
	// Credits is the credit code of acknowledgements, 1 to 31; default 31, unlimited.
	Credits int

	// CMTimeout is the code c of the time that the peer may take to answer a message of connection management,
	// 4.096 us * 2^c; default 20, 4.3 s.
	CMTimeout int
	// CMRetries is how often such a message is repeated, 1 to 15; default 15.
	CMRetries int
	// ACKTimeout is the local ACK timeout code for connections that do not set their own; default 17, 0.54 s.
	ACKTimeout int
	// MinRNRTimer is the RNR timer code for connections that do not set their own; default 12, 0.64 ms.
	MinRNRTimer int
	// Backlog is how many requests of one listener may wait for Next, Accept or Reject; more are rejected. Default 128.
	Backlog int
	// MaxConns is how many connections there may be, those in TIMEWAIT included; default 4096.
	MaxConns int

	// TrafficClass is the IPv4 type of service or the IPv6 traffic class of packets.
	TrafficClass uint8
	// TTL is the time to live or hop limit of packets; default 64.
	TTL uint8

	// Seed makes ids, queue pair numbers, sequence numbers and keys repeatable; 0 draws them from the system.
	Seed uint64
	// Rules turns rules of the protocol off, one by one.
	Rules Rules
	// EditCM, if set, is given every message of connection management that the device makes, and may change it. The device
	// takes the changed message for its own: it will expect the packets that a changed starting PSN promises. To change
	// the wire alone, use Inject. EditCM must not call the device.
	EditCM func(roce.CMMessage)
	// Trace, if set, is called for every packet that is sent, received or dropped.
	Trace Tracer
}

// Defaults.
const (
	defaultWindow      = 128
	defaultAckEvery    = 16
	defaultCMTimeout   = 20
	defaultCMRetries   = 15
	defaultACKTimeout  = 17
	defaultMinRNRTimer = 12
	defaultBacklog     = 128
	defaultMaxConns    = 4096
	defaultTTL         = 64
)

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// complete sets defaults and checks the result against the link.
func (c *Config) complete(link Link) error {
	setDefault(&c.Name, "soft "+link.Addr().String())
	setDefault(&c.PathMTU, roce.PathMTU(link.MTU()).Bytes())
	setDefault(&c.Window, defaultWindow)
	setDefault(&c.AckEvery, defaultAckEvery)
	setDefault(&c.Credits, int(roce.CreditsUnlimited))
	setDefault(&c.CMTimeout, defaultCMTimeout)
	setDefault(&c.CMRetries, defaultCMRetries)
	setDefault(&c.ACKTimeout, defaultACKTimeout)
	setDefault(&c.MinRNRTimer, defaultMinRNRTimer)
	setDefault(&c.Backlog, defaultBacklog)
	setDefault(&c.MaxConns, defaultMaxConns)
	setDefault(&c.TTL, defaultTTL)

	if _, ok := roce.MTUCodeOf(c.PathMTU); !ok {
		return fmt.Errorf("path MTU %d, must be 256, 512, 1024, 2048 or 4096", c.PathMTU)
	}
	if most := roce.PathMTU(link.MTU()).Bytes(); c.PathMTU > most || link.MTU() < minLinkMTU {
		return fmt.Errorf("path MTU %d on a link with an MTU of %d, which carries at most %d", c.PathMTU, link.MTU(), most)
	}
	limits := []error{
		rdma.CheckLimit("window", c.Window, 1, roce.MaxOutstandingPSNs),
		rdma.CheckLimit("credit code", c.Credits, 1, 31),
		rdma.CheckLimit("CM timeout code", c.CMTimeout, 1, 31),
		rdma.CheckLimit("CM retries", c.CMRetries, 1, 15),
		rdma.CheckLimit("ACK timeout code", c.ACKTimeout, 1, 31),
		rdma.CheckLimit("RNR timer code", c.MinRNRTimer, 1, 31),
		rdma.CheckLimit("backlog", c.Backlog, 1, 1<<20),
		rdma.CheckLimit("number of connections", c.MaxConns, 1, 1<<20),
	}
	for _, err := range limits {
		if err != nil {
			return err
		}
	}
	return nil
}

// minLinkMTU is the smallest link that carries management datagrams and a path MTU of 256 bytes.
const minLinkMTU = 256 + 96

// Limits of what one connection of this provider can have.
const (
	maxQueue = 1 << 16
	maxSGE   = 64
	maxDepth = 255
)

// completeConn sets defaults of a connection's configuration and checks it.
func (d *Device) completeConn(c rdma.ConnConfig) (rdma.ConnConfig, error) {
	setDefault(&c.SendSGE, 1)
	setDefault(&c.RecvSGE, 1)
	setDefault(&c.MinRNRTimer, d.cfg.MinRNRTimer)
	limits := []error{
		rdma.CheckLimit("send queue", c.SendQueue, 1, maxQueue),
		rdma.CheckLimit("receive queue", c.RecvQueue, 1, maxQueue),
		rdma.CheckLimit("buffers in a send", c.SendSGE, 1, maxSGE),
		rdma.CheckLimit("buffers in a receive", c.RecvSGE, 1, maxSGE),
		rdma.CheckLimit("initiator depth", c.InitiatorDepth, 0, maxDepth),
		rdma.CheckLimit("responder resources", c.ResponderResources, 0, maxDepth),
		rdma.CheckLimit("retry count", c.RetryCount, 0, 7),
		rdma.CheckLimit("RNR retry count", c.RNRRetryCount, 0, 7),
		rdma.CheckLimit("ACK timeout code", c.AckTimeout, 0, 31),
		rdma.CheckLimit("RNR timer code", c.MinRNRTimer, 1, 31),
	}
	for _, err := range limits {
		if err != nil {
			return c, err
		}
	}
	return c, nil
}
