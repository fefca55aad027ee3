// SPDX-License-Identifier: Apache-2.0

package soft

import (
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Device is a RoCEv2 endpoint on a link. It implements rdma.Device. It has two goroutines: one reads the link and runs
// the state machines, one sends what is left of long READ answers.
type Device struct {
	cfg   Config
	link  Link
	mem   memory
	cm    manager
	pump  pump
	stats counters
	fault faults

	qps   atomic.Pointer[map[uint32]*queuePair] // copied on change
	qpsMu sync.Mutex                            // held to change it

	randMu sync.Mutex
	rand   *rand.Rand

	mu     sync.Mutex // guards closed
	closed bool
	ended  sync.WaitGroup // the goroutines
}

var _ rdma.Device = (*Device)(nil)

// Open makes a device on a link. The link belongs to the device from then on, also when Open fails.
func Open(link Link, cfg Config) (*Device, error) {
	d := &Device{cfg: cfg, link: link}
	if err := d.cfg.complete(link); err != nil {
		return nil, errors.Join(fmt.Errorf("soft: open a device on %s: %w", link.Addr(), err), link.Close())
	}
	d.rand = newRand(cfg.Seed)
	d.qps.Store(&map[uint32]*queuePair{})
	d.mem.slots = make(map[uint32]*slot)
	d.pump.ready = make(chan struct{}, 1)
	d.fault.init(d)
	d.cm.init(d)
	d.ended.Go(d.read)
	d.ended.Go(func() { d.pump.run(link) })
	return d, nil
}

// newRand gives a repeatable source for a seed, another one each time for seed 0.
func newRand(seed uint64) *rand.Rand {
	var key [32]byte
	if seed == 0 {
		cryptorand.Read(key[:]) // never fails
	} else {
		binary.LittleEndian.PutUint64(key[:], seed)
	}
	return rand.New(rand.NewChaCha8(key))
}

func (d *Device) random() uint32 {
	d.randMu.Lock()
	defer d.randMu.Unlock()
	return d.rand.Uint32()
}

// Name is the name that was configured, or "soft" and the address.
func (d *Device) Name() string { return d.cfg.Name }

// Addr is the link's address.
func (d *Device) Addr() netip.Addr { return d.link.Addr() }

// PathMTU is the most data that one packet of a connection carries, in bytes.
func (d *Device) PathMTU() int { return d.cfg.PathMTU }

// Limits of the provider.
func (d *Device) Limits() rdma.Limits {
	return rdma.Limits{MaxSendWR: maxQueue, MaxRecvWR: maxQueue, MaxSGE: maxSGE, MaxRegion: maxRegion}
}

// Close ends the goroutines, the timers and the link. It fails with rdma.ErrBusy while something of the device is open.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	if err := d.idle(); err != nil {
		d.mu.Unlock()
		return d.failed("close", err)
	}
	d.closed = true
	d.mu.Unlock()

	d.cm.close()
	d.fault.close()
	d.pump.close()
	err := d.link.Close()
	d.ended.Wait()
	return err
}

// idle fails with rdma.ErrBusy while something of the device is open.
func (d *Device) idle() error {
	d.mem.mu.RLock()
	regions, windows := d.mem.regions, d.mem.windows
	d.mem.mu.RUnlock()
	listeners, requests := d.cm.count()
	conns := len(*d.qps.Load())
	if regions+windows+listeners+requests+conns == 0 {
		return nil
	}
	return fmt.Errorf("%d listeners, %d requests, %d connections, %d regions and %d windows are %w",
		listeners, requests, conns, regions, windows, rdma.ErrBusy)
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// failed says what was attempted on this device.
func (d *Device) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", d.Name(), what, err)
}

// connError says on which connection something happened.
func (d *Device) connError(q *queuePair, err error) error {
	return fmt.Errorf("%s: connection to %s: %w", d.Name(), q.peer, err)
}

// newQP makes a queue pair with a random number that nobody uses.
func (d *Device) newQP(cfg rdma.ConnConfig, qpn uint32) *queuePair {
	q := newQueuePair(d, qpn, cfg)
	d.changeQPs(func(all map[uint32]*queuePair) { all[qpn] = q })
	return q
}

func (d *Device) removeQP(q *queuePair) {
	q.remove()
	d.changeQPs(func(all map[uint32]*queuePair) { delete(all, q.qpn) })
	d.mem.unbindAll(q.qpn)
}

func (d *Device) changeQPs(change func(map[uint32]*queuePair)) {
	d.qpsMu.Lock()
	defer d.qpsMu.Unlock()
	old := *d.qps.Load()
	all := make(map[uint32]*queuePair, len(old)+1)
	for qpn, q := range old {
		all[qpn] = q
	}
	change(all)
	d.qps.Store(&all)
}

func (d *Device) qp(qpn uint32) *queuePair { return (*d.qps.Load())[qpn] }

// creditCode is the credit code of acknowledgements.
func (d *Device) creditCode() uint8 { return uint8(d.cfg.Credits) }

// rnrCode is the RNR timer code of a connection.
func (d *Device) rnrCode(cfg rdma.ConnConfig) uint8 { return uint8(cfg.MinRNRTimer) }
