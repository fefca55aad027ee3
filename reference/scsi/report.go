// SPDX-License-Identifier: Apache-2.0

package scsi

import "encoding/binary"

func planNothing(*Task) *Sense { return nil }

func runNothing(*Task, []byte) Result { return Result{} }

// runRequestSense reports a unit attention, or that there is nothing; of a number without a unit it says so (SPC-4 6.39).
func runRequestSense(t *Task, data []byte) Result {
	var s Sense
	if t.unit == nil {
		s = Sense{Key: IllegalRequest, Code: LogicalUnitNotSupported}
	} else if code, ok := t.nexus.attention(t.unit); ok {
		s = Sense{Key: UnitAttention, Code: code}
	}
	if t.form.Descriptors.of(t.cdb[:]) != 0 {
		return answer(data, s.AppendDescriptor(nil))
	}
	return answer(data, s.AppendFixed(nil))
}

// What REPORT LUNS may be asked for (SPC-4 6.33): there are no well known units.
const (
	selectUnits     = 0
	selectWellKnown = 1
	selectAll       = 2

	lunListHeader   = 8
	leastAllocation = 16
)

func planReportLUNs(t *Task) *Sense {
	f := t.form
	switch room := f.Allocation.of(t.cdb[:]); {
	case f.Select.of(t.cdb[:]) > selectAll:
		s := f.Select.invalid()
		return &s
	case room < leastAllocation:
		s := f.Allocation.invalid()
		return &s
	default:
		t.report(min(room, lunListHeader+8*(MaxLUN+1)))
		return nil
	}
}

// runReportLUNs lists what the initiator may use (Clause SRP-CMD-021).
func runReportLUNs(t *Task, data []byte) Result {
	b := make([]byte, lunListHeader)
	if t.form.Select.of(t.cdb[:]) != selectWellKnown {
		for _, number := range t.nexus.luns.Numbers() {
			lun, _ := NewLUN(number) // the set has no others
			b = append(b, lun[:]...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-lunListHeader))
	return answer(data, b)
}

// What REPORT SUPPORTED OPERATION CODES may be asked for (SPC-4 6.34).
const (
	optionAll       = 0
	optionCode      = 1 // one without service actions
	optionAction    = 2 // one with
	optionEither    = 3
	hasAction       = 0x01
	notSupported    = 0x01
	supported       = 0x03
	allHeader       = 4
	timeoutsPresent = 0x02
	hasTimeouts     = 0x80
	timeoutsSize    = 12
)

// planReportSupported refuses to say something about a service action of a code that has none, and the other way round.
func planReportSupported(t *Task) *Sense {
	f := t.form
	wanted := formsByCode[f.WantedCode.of(t.cdb[:])]
	switch option := f.Options.of(t.cdb[:]); {
	case option > optionEither:
		s := f.Options.invalid()
		return &s
	case option == optionCode && wanted != nil && wanted.Action >= 0, option == optionAction && wanted != nil && wanted.Action < 0:
		s := f.WantedCode.invalid()
		return &s
	}
	return planParameters(t)
}

func runReportSupported(t *Task, data []byte) Result {
	f := t.form
	timeouts := f.Timeouts.of(t.cdb[:]) != 0
	if f.Options.of(t.cdb[:]) == optionAll {
		return answer(data, t.unit.allCommands(timeouts))
	}
	return answer(data, t.unit.oneCommand(uint8(f.WantedCode.of(t.cdb[:])), int(f.WantedAction.of(t.cdb[:])), timeouts))
}

func (u *Unit) allCommands(timeouts bool) []byte {
	b := make([]byte, allHeader)
	for _, f := range Forms {
		if !u.supports(f) {
			continue
		}
		var flags uint8
		if f.Action >= 0 {
			flags |= hasAction
		}
		if timeouts {
			flags |= timeoutsPresent
		}
		b = append(b, f.Opcode, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(max(f.Action, 0)))
		b = append(b, 0, flags)
		b = binary.BigEndian.AppendUint16(b, uint16(f.Length))
		b = appendTimeouts(b, timeouts)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-allHeader))
	return b
}

func (u *Unit) oneCommand(code uint8, action int, timeouts bool) []byte {
	for _, f := range Forms {
		if f.Opcode != code || f.Action >= 0 && f.Action != action || f.Action < 0 && action != 0 || !u.supports(f) {
			continue
		}
		flags := uint8(supported)
		if timeouts {
			flags |= hasTimeouts
		}
		b := []byte{0, flags}
		b = binary.BigEndian.AppendUint16(b, uint16(f.Length))
		b = append(b, f.usage()...)
		return appendTimeouts(b, timeouts)
	}
	return []byte{0, notSupported, 0, 0}
}

// appendTimeouts appends a descriptor that states no time (SPC-4 6.34.4).
func appendTimeouts(b []byte, wanted bool) []byte {
	if !wanted {
		return b
	}
	d := make([]byte, timeoutsSize)
	binary.BigEndian.PutUint16(d, timeoutsSize-2)
	return append(b, d...)
}
