// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// errAccess is why a remote request is refused with "remote access error".
var errAccess = errors.New("remote access error")

// slot is the place of one key index in the memory table. It is part of the region or window that has the index.
type slot struct {
	opens grant // what the key opens now; guarded by the lock of the memory table
	// taken counts the keys that were taken back. It grows under the lock of the region that the key opened, and data is
	// copied under the same lock: when a key has been taken back, nothing is copied by it any more.
	taken atomic.Uint64
}

// grant is what a remote key opens, as it was when the table was asked. It is a value: nobody has to keep it for those
// who work with it, and binding a window allocates nothing. Whether it still holds, its generation tells; the key itself
// does not, because keys come again. The zero grant opens nothing.
type grant struct {
	slot       *slot
	generation uint64 // what slot.taken was
	key        uint32
	region     *region
	addr       uint64
	length     uint64
	access     rdma.Access
	window     *window // nil for the key of a whole region
	qpn        uint32  // of a window: the queue pair that it was bound on; 0 for a shared one
}

// holds tells whether nobody has taken the key back. It is sure only under the lock of the region.
func (g *grant) holds() bool { return g.slot.taken.Load() == g.generation }

// check tells whether the key opens length bytes at addr to queue pair qpn with these rights.
func (g *grant) check(qpn uint32, addr, length uint64, access rdma.Access, rules *Rules) error {
	switch {
	case g.slot == nil:
		return fmt.Errorf("%w: unknown key", errAccess)
	case !g.holds():
		return g.takenBack()
	case g.qpn != 0 && g.qpn != qpn && !rules.IgnoreWindowOwner:
		return fmt.Errorf("%w: key %#x belongs to queue pair %#x", errAccess, g.key, g.qpn)
	case g.access&access != access && !rules.IgnoreAccessRights:
		return fmt.Errorf("%w: key %#x lacks the right", errAccess, g.key)
	case !g.covers(addr, length):
		return fmt.Errorf("%w: key %#x does not open %d bytes at %#x", errAccess, g.key, length, addr)
	}
	return nil
}

func (g *grant) takenBack() error {
	return fmt.Errorf("%w: key %#x was taken back", errAccess, g.key)
}

// covers tells whether [addr, addr+length) lies inside, without overflow.
func (g *grant) covers(addr, length uint64) bool {
	return addr >= g.addr && length <= g.length && addr-g.addr <= g.length-length
}

// write copies data to a place that check has allowed.
func (g *grant) write(addr uint64, data []byte) error {
	r := g.region
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !g.holds() {
		return g.takenBack()
	}
	copy(r.data[addr-r.addr:], data)
	return nil
}

// read copies data from a place that check has allowed.
func (g *grant) read(addr uint64, data []byte) error {
	r := g.region
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !g.holds() {
		return g.takenBack()
	}
	copy(data, r.data[addr-r.addr:])
	return nil
}

// atomic replaces an integer in host order and gives the old one. It excludes other atomics and every other use of the
// region.
func (g *grant) atomic(addr uint64, change func(uint64) uint64) (uint64, error) {
	r := g.region
	r.mu.Lock()
	defer r.mu.Unlock()
	if !g.holds() {
		return 0, g.takenBack()
	}
	at := r.data[addr-r.addr:]
	old := binary.NativeEndian.Uint64(at)
	binary.NativeEndian.PutUint64(at, change(old))
	return old, nil
}

// find gives what a key opens, the zero grant for one that opens nothing.
func (m *memory) find(key uint32) grant {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if s := m.slots[keyIndex(key)]; s != nil && s.opens.key == key {
		return s.opens
	}
	return grant{}
}

// give makes the slot's key open something. The caller holds the table's lock.
func (s *slot) give(g grant) {
	g.slot, g.generation = s, s.taken.Load()
	s.opens = g
	g.region.bound++
}

// takeBack makes the slot's key, if it has one, open nothing. It waits for those who copy by it. The caller holds the
// table's lock.
func (s *slot) takeBack() {
	r := s.opens.region
	if r == nil {
		return
	}
	r.mu.Lock()
	s.taken.Add(1)
	r.mu.Unlock()
	r.bound--
	s.opens = grant{}
}
