// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// LUNs is a set of units under their numbers: what the initiators that it is given to may use. It may change at any time.
type LUNs struct {
	mu      sync.RWMutex // is taken before that of a unit
	units   map[uint16]*Unit
	nexuses map[*Nexus]struct{}
}

// NewLUNs makes an empty set.
func NewLUNs() *LUNs {
	return &LUNs{units: map[uint16]*Unit{}, nexuses: map[*Nexus]struct{}{}}
}

// Add puts a unit under a number; initiators that are there get to know by a unit attention on their other units.
func (l *LUNs) Add(number uint16, u *Unit) error {
	if number > MaxLUN {
		return fmt.Errorf("logical unit number %d, must be at most %d: %w", number, MaxLUN, syscall.EINVAL)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.units[number] != nil {
		return fmt.Errorf("logical unit number %d is in use: %w", number, syscall.EEXIST)
	}
	l.changed()
	l.units[number] = u
	for n := range l.nexuses {
		u.join(n)
	}
	return nil
}

// Remove takes the unit of a number away. Tasks that it has go on.
func (l *LUNs) Remove(number uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.units[number]
	if u == nil {
		return fmt.Errorf("no logical unit has number %d: %w", number, syscall.ENOENT)
	}
	delete(l.units, number)
	for n := range l.nexuses {
		u.leave(n)
	}
	l.changed()
	return nil
}

// changed raises REPORTED LUNS DATA HAS CHANGED for all initiators on all units.
func (l *LUNs) changed() {
	for n := range l.nexuses {
		for _, u := range l.units {
			n.raise(u, ReportedLUNsChanged)
		}
	}
}

// unit finds the unit of a number; nil if there is none.
func (l *LUNs) unit(lun LUN) *Unit {
	number, ok := lun.Number()
	if !ok {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.units[number]
}

// Numbers are those of the units, in order.
func (l *LUNs) Numbers() []uint16 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Sorted(maps.Keys(l.units))
}
