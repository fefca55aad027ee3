// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Limit is what the owner of a target allows to be done to its units. It is kept where units leave the tester, so that no attack
// can go beyond it, whatever the attack says of itself.
type Limit struct {
	Writes bool   // writing into the range, and resetting units
	First  uint64 // the range begins here, in sectors of 512 bytes from the begin of the unit
	Count  uint64 // and has so many sectors
}

// ErrForbidden is wrapped by the error of a unit that was not sent because of the limit.
var ErrForbidden error = &finding.Undecided{Reason: verdict.NoConsent, Text: "not allowed by the target's owner"}

// ScratchSectors is how many sectors of 512 bytes the attacks need to write in, from the first of the limit on.
const ScratchSectors = 256

func (l *Limit) base() uint64 {
	if l == nil {
		return 0
	}
	return l.First
}

// harmless are the operation codes of commands that change nothing.
var harmless = map[byte]bool{
	scsi.OpTestUnitReady: true, scsi.OpRequestSense: true, scsi.OpRead6: true, scsi.OpInquiry: true, scsi.OpModeSense6: true,
	scsi.OpReadCapacity10: true, scsi.OpRead10: true, scsi.OpVerify10: true, scsi.OpSyncCache10: true, scsi.OpModeSense10: true,
	scsi.OpRead16: true, scsi.OpVerify16: true, scsi.OpSyncCache16: true, scsi.OpServiceActionIn: true, scsi.OpReportLUNs: true,
	scsi.OpRead12: true, scsi.OpVerify12: true,
}

// allows judges a unit as the target will read it. What is no request changes nothing.
func (l *Limit) allows(c *Channel, unit []byte) error {
	if l == nil || len(unit) < srp.CmdSize {
		return nil
	}
	switch unit[0] {
	case srp.TypeTskMgmt:
		if f := srp.TaskFunction(unit[30]); !l.Writes && (f == srp.LogicalUnitReset || f == srp.ClearTaskSet) {
			return fmt.Errorf("%s: %w", f, ErrForbidden)
		}
	case srp.TypeCmd:
		return l.allowsCommand(c, unit)
	}
	return nil
}

// allowsCommand takes every operation code that is not known as harmless for a write. Of maintenance, reports alone are.
func (l *Limit) allowsCommand(c *Channel, unit []byte) error {
	cdb := unit[32:48]
	if harmless[cdb[0]] || cdb[0] == scsi.OpMaintenanceIn && cdb[1]&0x1f == scsi.ActionReportSupported {
		return nil
	}
	first, count, known := written(cdb)
	if g := c.block[srp.LUN(unit[20:28])]; known && l.Writes && g.Block > 0 {
		sectors := uint64(g.Block / stamp.Sector)
		if first >= l.First/sectors && first < 1<<48 && (first+count)*sectors <= l.First+l.Count {
			return nil
		}
	}
	return fmt.Errorf("command %#02x: %w", cdb[0], ErrForbidden)
}

// written are the blocks of a write.
func written(cdb []byte) (first, count uint64, known bool) {
	switch cdb[0] {
	case scsi.OpWrite6:
		if count = uint64(cdb[4]); count == 0 {
			count = 256
		}
		return uint64(cdb[1]&0x1f)<<16 | uint64(binary.BigEndian.Uint16(cdb[2:])), count, true
	case scsi.OpWrite10:
		return uint64(binary.BigEndian.Uint32(cdb[2:])), uint64(binary.BigEndian.Uint16(cdb[7:])), true
	case scsi.OpWrite12:
		return uint64(binary.BigEndian.Uint32(cdb[2:])), uint64(binary.BigEndian.Uint32(cdb[6:])), true
	case scsi.OpWrite16:
		return binary.BigEndian.Uint64(cdb[2:]), uint64(binary.BigEndian.Uint32(cdb[10:])), true
	}
	return 0, 0, false
}

// Forbidden is the error of the first unit that the limit kept from being sent, if there was one: what an attack has found after
// that says nothing of the target.
func (t *Tester) Forbidden() error { return t.forbidden }

// Writes says whether the limit of the target lets anything be written.
func (t *Tester) Writes() bool { return t.target.Limit == nil || t.target.Limit.Writes }
