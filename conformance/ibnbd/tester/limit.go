// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Limit is what the owner of a target allows to be done to its exports. It is kept where requests leave the tester, so
// that no attack can go beyond it, whatever the attack says of itself.
type Limit struct {
	Writes bool   // opening for writing, and writing into the range
	First  uint64 // the range begins here, in sectors of 512 bytes from the begin of the device
	Count  uint64 // and has so many sectors
}

// ErrForbidden is wrapped by the error of a request that was not sent because of the limit.
var ErrForbidden error = &finding.Undecided{Reason: verdict.NoConsent, Text: "not allowed by the target's owner"}

// ScratchSectors is how many sectors of 512 bytes the attacks need to write in, from the first of the limit on.
const ScratchSectors = 64

// base is the sector that stands for sector 0 in conforming reads and writes.
func (l *Limit) base() uint64 {
	if l == nil {
		return 0
	}
	return l.First
}

// writes says whether anything may be written at all.
func (l *Limit) writes() bool { return l == nil || l.Writes }

// allows judges a request by its block message, as the target will read it.
func (l *Limit) allows(r Request) error {
	if l == nil || len(r.Header) < 2 {
		return nil
	}
	switch binary.LittleEndian.Uint16(r.Header) {
	case ibnbd.TypeOpen:
		return l.allowsOpen(r.Header)
	case ibnbd.TypeIO:
		return l.allowsIO(r)
	}
	return nil
}

// allowsOpen refuses to open for writing: that alone locks others out.
func (l *Limit) allowsOpen(message []byte) error {
	const atAccess = 4
	if l.Writes || len(message) <= atAccess || message[atAccess] == byte(ibnbd.ReadOnly) {
		return nil
	}
	return fmt.Errorf("open for writing: %w", ErrForbidden)
}

// allowsIO takes every operation but reads and flushes for a write, of what is sent or of what is declared, whichever is
// more.
func (l *Limit) allowsIO(r Request) error {
	m, err := ibnbd.ParseIORequest(r.Header)
	if err != nil && len(r.Data) == 0 {
		return nil // it is cut, and brings nothing that could be written
	}
	if op := m.Op(); err == nil && (op == ibnbd.OpRead || op == ibnbd.OpFlush) {
		return nil
	}
	size := max(uint64(m.Size), uint64(len(r.Data)))
	if l.Writes && m.Sector >= l.First && m.Sector-l.First <= l.Count && size <= (l.Count-(m.Sector-l.First))*ibnbd.SectorSize {
		return nil
	}
	return fmt.Errorf("operation %d on %d bytes from sector %d: %w", m.Op(), size, m.Sector, ErrForbidden)
}

// Base is the sector of a device that stands for sector 0 in [Path.ReadAt], [Path.WriteAt] and [Path.CheckStamped].
func (t *Tester) Base() uint64 { return t.target.Limit.base() }

// UsableSectors is how many sectors of a device may be written, from [Tester.Base] on, of so many that it has; those that may be read where
// nothing may be written.
func (t *Tester) UsableSectors(capacity uint64) uint64 {
	if l := t.target.Limit; l != nil && l.Writes {
		return l.Count
	}
	return capacity
}

// Forbidden is the error of the first request that the limit kept from being sent, if there was one: what an attack has
// found after that says nothing of the target.
func (t *Tester) Forbidden() error { return t.forbidden }

// Writes says whether the limit of the target lets anything be written.
func (t *Tester) Writes() bool { return t.target.Limit.writes() }

// Access is how devices are opened where the attack does not care: for writing, if that is allowed.
func (t *Tester) Access() ibnbd.AccessMode {
	if t.Writes() {
		return ibnbd.ReadWrite
	}
	return ibnbd.ReadOnly
}
