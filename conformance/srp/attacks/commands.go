// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func commands() []Attack {
	return []Attack{
		{Name: "commands with any tag", Clauses: []string{"SRP-CMD-015"}, Run: commandTags},
		{Name: "commands with reserved bytes and solicited events set", Clauses: []string{"SRP-LOGIN-005", "SRP-LOGIN-037"}, Run: reservedCommand},
		{Name: "commands with additional bytes of CDB", Clauses: []string{"SRP-CMD-004", "SRP-CMD-005"}, Run: additionalCDB},
		{Name: "commands of every task attribute", Clauses: []string{"SRP-CMD-017"}, Run: attributes},
		{Name: "commands that are cut off", Clauses: []string{"SRP-CMD-018"}, Run: cutOff},
		{Name: "units of unknown type", Clauses: []string{"SRP-CMD-019"}, Run: unknownTypes},
		{Name: "commands to unknown logical units", Clauses: []string{"SRP-CMD-020"}, Run: unknownUnits},
		{Name: "a list of logical units", Clauses: []string{"SRP-CMD-021"}, Run: listUnits},
		{Name: "reserved descriptor formats", Clauses: []string{"SRP-CMD-013"}, Run: reservedFormats},
		{Name: "random units", Clauses: []string{randomClause}, Does: foreign.WritesAnywhere, Run: randomUnits},
	}
}

// read makes the command block of a READ(10) of some blocks from Base on.
func read(c *tester.Channel, lun srp.LUN, blocks uint32) ([]byte, error) {
	return scsi.Read10.AppendIO(nil, c.Base(lun), blocks, false)
}

// readyToRead logs in, and makes the command block of a READ(10) of one block of the first logical unit.
func readyToRead(ctx context.Context, t *tester.Tester) (*tester.Channel, srp.LUN, []byte, error) {
	lun := t.Target().LUNs[0]
	c, err := t.Ready(ctx)
	if err != nil {
		return nil, lun, nil, err
	}
	cdb, err := read(c, lun, 1)
	return c, lun, cdb, err
}

func commandTags(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, tag := range strangeTags {
		if err := c.Post(c.Tagged(tag, t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})); err != nil {
			return err
		}
		m, err := c.Any(ctx)
		if err != nil || m.Tag != tag {
			return tester.Broken("SRP-CMD-015", "a command with tag %s is answered with tag %s (%s)", tag, m.Tag, outcome(err))
		}
	}
	return nil
}

// reservedCommand sets each reserved byte of a read and of task management, and each bit for solicited notification.
func reservedCommand(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	for _, at := range []int{2, 3, 4, 16, 17, 18, 19, 28, 30} {
		unit := c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block)))
		unit[at] = 0xff
		m, err := c.Do(ctx, unit)
		if err := succeeded("SRP-LOGIN-005", errors.Join(err, tester.FailureOf(m))); err != nil {
			return fmt.Errorf("a read with byte %d set: %w", at, err)
		}
	}
	for _, bits := range []byte{1, 2, 4, 6, 0xff} {
		unit := c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block)))
		unit[1] = bits
		m, err := c.Do(ctx, unit)
		if err := succeeded("SRP-LOGIN-037", errors.Join(err, tester.FailureOf(m))); err != nil {
			return fmt.Errorf("a read with %#02x for solicited notification: %w", bits, err)
		}
	}
	for _, at := range []int{2, 7, 16, 28, 31, 40, 47} {
		unit := c.Manage(srp.AbortTask, lun, srp.TagOf(1<<40))
		unit[at] = 0xff
		if _, err := c.Do(ctx, unit); err != nil {
			return tester.Broken("SRP-LOGIN-005", "task management with byte %d set: %v, it must be answered", at, err)
		}
	}
	return nil
}

// additionalCDB puts bytes of a command block between a command and its descriptors.
func additionalCDB(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	cdb, err := read(c, lun, 1)
	if err != nil {
		return err
	}
	want, err := c.ReadAt(ctx, lun, 0, 1)
	if err != nil {
		return err
	}
	for _, words := range []int{1, 4, 63} {
		for _, reserved := range []byte{0, 3} {
			data, err := paint(c)
			if err != nil {
				return err
			}
			unit := c.Command(lun, append(slices.Clone(cdb), make([]byte, 16-len(cdb)+4*words)...), srp.Buffer{}, srp.DirectBuffer(c.Piece(size, size)))
			unit[31] |= reserved
			m, err := c.Do(ctx, unit)
			if err = errors.Join(err, tester.FailureOf(m)); err != nil || !slices.Equal(data[size:2*size], want) {
				return tester.Broken("SRP-CMD-004", "a read behind %d additional bytes, byte 31 is %#02x: %s, and the right data: %v",
					4*words, unit[31], outcome(err), slices.Equal(data[size:2*size], want))
			}
		}
	}
	return longCDB(ctx, c, lun)
}

// longCDB sends a command block of 32 bytes, which a target may not know, and must understand as one.
func longCDB(ctx context.Context, c *tester.Channel, lun srp.LUN) error {
	const variableLength, read32, size = 0x7f, 0x0009, 32
	cdb := make([]byte, size)
	cdb[0], cdb[7] = variableLength, size-8
	binary.BigEndian.PutUint16(cdb[8:], read32)
	binary.BigEndian.PutUint64(cdb[12:], c.Base(lun))
	binary.BigEndian.PutUint32(cdb[28:], 1)
	m, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block))))
	if err != nil {
		return tester.Broken("SRP-CMD-005", "a READ(32): %v, it must be answered", err)
	}
	err = tester.FailureOf(m)
	if s, ok := tester.Sensed(err); err != nil && (!ok || s.Key != scsi.IllegalRequest) {
		return tester.Broken("SRP-CMD-005", "a READ(32): %v, it must succeed, or fail as a command that is not known", err)
	}
	return nil
}

func attributes(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for attribute := range byte(8) {
		unit := c.Command(t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})
		unit[29] = attribute
		m, err := c.Do(ctx, unit)
		known := attribute == srp.TaskSimple || attribute == srp.TaskHeadOfQueue || attribute == srp.TaskOrdered || attribute == srp.TaskACA
		if known {
			err = errors.Join(err, tester.FailureOf(m))
		}
		if err != nil {
			return tester.Broken("SRP-CMD-017", "a command with task attribute %d: %v", attribute, err)
		}
	}
	return nil
}

// cutOff sends commands whose descriptors are not there as a whole. The receives of the target have held whole ones before, so that
// what it reads behind the end of a unit is a descriptor of memory.
func cutOff(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	data, err := paint(c)
	if err != nil {
		return err
	}
	whole := srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block))
	list := srp.IndirectBuffer(c.Piece(4096, 16), srp.MemoryDescriptors{}.Append(c.Piece(0, c.Geometry(lun).Block)), uint32(c.Geometry(lun).Block))
	for _, buffer := range []srp.Buffer{whole, list} {
		if err := stain(ctx, c, lun, cdb, buffer); err != nil {
			return err
		}
		unit := c.Command(lun, cdb, srp.Buffer{}, buffer)
		for _, length := range []int{srp.CmdSize, srp.CmdSize + 1, srp.CmdSize + 8, len(unit) - 1} {
			for i := range data {
				data[i] = untouched
			}
			if err := isRefused(ctx, c, unit[:length], len(unit)); err != nil {
				return err
			}
			if at := touched(data); at >= 0 {
				return tester.Broken("SRP-CMD-018", "a command that ends at byte %d of %d has written to byte %d of the memory", length, len(unit), at)
			}
		}
	}
	additional := c.Command(lun, cdb, srp.Buffer{}, srp.Buffer{})
	additional[31] = 0xfc
	if err := isRefused(ctx, c, additional, len(additional)+0xfc); err != nil {
		return err
	}
	return usable(ctx, "SRP-CMD-018", "commands that were cut off", c, lun)
}

// stain has every receive of the target hold a whole command.
func stain(ctx context.Context, c *tester.Channel, lun srp.LUN, cdb []byte, in srp.Buffer) error {
	for range 2*c.Initial + 8 {
		m, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, in))
		if err := errors.Join(err, tester.FailureOf(m)); err != nil {
			return err
		}
	}
	return nil
}

// isRefused judges the answer to a unit that is shorter than it says.
func isRefused(ctx context.Context, c *tester.Channel, unit []byte, whole int) error {
	unit = slices.Clone(unit)
	tag := c.Tag()
	copy(unit[8:], tag[:])
	m, err := c.Do(ctx, unit)
	return refusedFields("SRP-CMD-018", fmt.Sprintf("a command of %d bytes that ends at byte %d", whole, len(unit)), m, err)
}

// unknownTypes sends units that no initiator sends, and some that are too short to be any.
func unknownTypes(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []byte{0x04, 0x3f, 0x40, 0x43, 0x7f, 0x80, 0xc0, 0xc1, 0xff} {
		if err := c.Post(append([]byte{kind}, make([]byte, 63)...)); err != nil {
			return unknownTypeEnds(c, kind, err)
		}
		if _, err := c.Execute(ctx, t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
			return unknownTypeEnds(c, kind, err)
		}
	}
	for _, length := range []int{1, 15} {
		if err := c.Post(make([]byte, length)); err != nil {
			return err
		}
		if err := usable(ctx, "SRP-CMD-019", fmt.Sprintf("a unit of %d bytes", length), c, t.Target().LUNs[0]); err != nil {
			return err
		}
	}
	return nil
}

// unknownTypeEnds judges a channel that is not served after a unit of unknown type.
func unknownTypeEnds(c *tester.Channel, kind byte, err error) error {
	if c.Logout == nil {
		return tester.Broken("SRP-CMD-019", "after a unit of type %#02x: %v, without a logout", kind, err)
	}
	if c.Logout.Reason != srp.LogoutInvalidType {
		return tester.Broken("SRP-CMD-019", "after a unit of type %#02x the target logs out with reason %d", kind, c.Logout.Reason)
	}
	return nil
}

// reportLUNs asks for the logical units.
func reportLUNs(ctx context.Context, c *tester.Channel, lun srp.LUN) ([]srp.LUN, error) {
	const room = 16 << 10
	cdb := scsi.ReportLUNs.New()
	if err := scsi.ReportLUNs.Put(cdb, scsi.ReportLUNs.Allocation, room); err != nil {
		return nil, err
	}
	b, err := c.Parameters(ctx, lun, cdb, room)
	if err != nil {
		return nil, fmt.Errorf("REPORT LUNS: %w", err)
	}
	if len(b) < 8 {
		return nil, fmt.Errorf("REPORT LUNS gives %d bytes", len(b))
	}
	var luns []srp.LUN
	n := min(int(binary.BigEndian.Uint32(b)), len(b)-8)
	for rest := b[8 : 8+n]; len(rest) >= 8; rest = rest[8:] {
		luns = append(luns, srp.LUN(rest))
	}
	return luns, nil
}

// strangers are names of logical units that hardly anybody has, in all forms.
func strangers(known []srp.LUN) []srp.LUN {
	all := []srp.LUN{
		{0xc1, 0x99}, {0, 0xfe}, {0x40, 0xfe}, {0x7f, 0xff}, {0x3f, 0xff}, {0x80, 0xfe}, {0, 0xfe, 0, 1}, {0, 0xfe, 0, 0, 0, 0, 0, 1},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	return slices.DeleteFunc(all, func(l srp.LUN) bool { return slices.Contains(known, l) })
}

func unknownUnits(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	known, err := reportLUNs(ctx, c, srp.LUN{})
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	inquiry, err := inquiryOf(0, false, 36)
	if err != nil {
		return err
	}
	cdb, err := read(c, t.Target().LUNs[0], 1)
	if err != nil {
		return err
	}
	for _, lun := range strangers(known) {
		for _, c2 := range []struct {
			cdb []byte
			in  srp.Buffer
		}{{scsi.TestUnitReady.New(), srp.Buffer{}}, {cdb, srp.DirectBuffer(c.Piece(0, c.Geometry(t.Target().LUNs[0]).Block))}} {
			m, err := c.Do(ctx, c.Command(lun, c2.cdb, srp.Buffer{}, c2.in))
			if err := sensed("SRP-CMD-020", m, err, scsi.IllegalRequest, scsi.LogicalUnitNotSupported); err != nil {
				return fmt.Errorf("command %#02x to unit %x: %w", c2.cdb[0], lun[:], err)
			}
		}
		m, err := c.Do(ctx, c.Command(lun, inquiry, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, 36))))
		if err := succeeded("SRP-CMD-020", errors.Join(err, tester.FailureOf(m))); err != nil {
			return fmt.Errorf("INQUIRY to unit %x: %w", lun[:], err)
		}
	}
	return nil
}

// listUnits looks whether those that are listed can be used, and no others.
func listUnits(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	listed, err := reportLUNs(ctx, c, srp.LUN{})
	if err != nil {
		return err
	}
	for _, lun := range t.Target().LUNs {
		if !slices.Contains(listed, lun) {
			return tester.Broken("SRP-CMD-021", "unit %s can be used, and is not among those that are listed: %v", lun, listed)
		}
	}
	for i, lun := range listed {
		if slices.Contains(listed[:i], lun) {
			return tester.Broken("SRP-CMD-021", "unit %s is listed twice", lun)
		}
	}
	probes := slices.Clone(listed)
	for n := range uint16(24) {
		lun, err := scsi.NewLUN(n)
		if err != nil {
			return err
		}
		probes = append(probes, lun)
	}
	for _, lun := range probes {
		_, err := c.Execute(ctx, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})
		s, sense := tester.Sensed(err)
		there := !sense || s.Code != scsi.LogicalUnitNotSupported
		if there != slices.Contains(listed, lun) {
			return tester.Broken("SRP-CMD-021", "unit %s is there: %v (%s); it is listed: %v", lun, there, outcome(err), !there)
		}
	}
	return nil
}

// reservedFormats uses all formats that are not defined, in both directions.
func reservedFormats(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	data, err := paint(c)
	if err != nil {
		return err
	}
	for nibble := byte(3); nibble < 16; nibble++ {
		for _, formats := range []byte{nibble, nibble << 4} {
			if formats>>4 == byte(srp.Immediate) {
				continue // data-out may be immediate
			}
			unit := c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block)))
			unit[5] = formats
			m, err := c.Do(ctx, unit)
			if err := refusedFields("SRP-CMD-013", fmt.Sprintf("formats %#02x", formats), m, err); err != nil {
				return err
			}
			if at := touched(data); at >= 0 {
				return tester.Broken("SRP-CMD-013", "a command with formats %#02x has written to byte %d of the memory", formats, at)
			}
		}
	}
	return nil
}
