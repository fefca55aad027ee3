// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
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

func units() []Attack {
	return []Attack{
		{Name: "the commands by which a disk is found", Clauses: []string{unitServes}, Run: scan},
		{Name: "writes and reads of all sizes and formats", Clauses: []string{unitServes}, Does: foreign.Writes, Run: allSizes},
		{Name: "reads of blocks that a unit does not have", Clauses: []string{unitServes}, Run: readsOutside},
		{Name: "writes of blocks that a unit does not have", Clauses: []string{unitServes}, Does: foreign.WritesAnywhere, Run: writesOutside},
		{Name: "the identifier of a unit on two ports", Clauses: []string{"SRP-TGT-008"}, Rails: 2, Run: identifiers},
	}
}

// vital asks for a page of vital product data.
func vital(ctx context.Context, c *tester.Channel, lun srp.LUN, page uint8) ([]byte, error) {
	const room = 512
	cdb, err := inquiryOf(page, true, room)
	if err != nil {
		return nil, err
	}
	b, err := c.Parameters(ctx, lun, cdb, room)
	if err != nil {
		return nil, tester.Broken(unitServes, "INQUIRY of page %#02x: %v", page, err)
	}
	if len(b) < 4 || b[1] != page || 4+int(binary.BigEndian.Uint16(b[2:])) > len(b) {
		return nil, tester.Broken(unitServes, "INQUIRY of page %#02x gives % x", page, b[:min(len(b), 16)])
	}
	return b[4 : 4+int(binary.BigEndian.Uint16(b[2:]))], nil
}

// scan sends what Linux sends to find a disk, and holds the answers against each other.
func scan(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	inquiry, err := inquiryOf(0, false, 255)
	if err != nil {
		return err
	}
	b, err := c.Parameters(ctx, lun, inquiry, 255)
	if err != nil {
		return tester.Broken(unitServes, "INQUIRY: %v", err)
	}
	if len(b) < 36 || b[0] != 0 || b[3]&0x0f != 2 || int(b[4])+5 > len(b) {
		return tester.Broken(unitServes, "INQUIRY gives no disk: % x", b[:min(len(b), 36)])
	}
	pages, err := vital(ctx, c, lun, 0)
	if err != nil {
		return err
	}
	for _, page := range []uint8{0x00, 0x80, 0x83} {
		if !slices.Contains(pages, page) {
			return tester.Broken(unitServes, "page %#02x is not among the pages %x", page, pages)
		}
	}
	for _, page := range pages {
		if _, err := vital(ctx, c, lun, page); err != nil {
			return err
		}
	}
	if err := capacities(ctx, c, lun); err != nil {
		return err
	}
	return otherCommands(ctx, c, lun)
}

// capacities compares what the two commands for it say of the size.
func capacities(ctx context.Context, c *tester.Channel, lun srp.LUN) error {
	g := c.Geometry(lun)
	b, err := c.Parameters(ctx, lun, scsi.ReadCapacity10.New(), 8)
	if err != nil || len(b) != 8 {
		return tester.Broken(unitServes, "READ CAPACITY(10) gives %d bytes: %s", len(b), outcome(err))
	}
	last, block := uint64(binary.BigEndian.Uint32(b)), int(binary.BigEndian.Uint32(b[4:]))
	if last != min(g.Last, 1<<32-1) || block != g.Block {
		return tester.Broken(unitServes, "READ CAPACITY(10) says that the last block is %d, of %d bytes, and READ CAPACITY(16) %d, of %d", last, block, g.Last, g.Block)
	}
	return nil
}

// otherCommands are those of which only success is asked for.
func otherCommands(ctx context.Context, c *tester.Channel, lun srp.LUN) error {
	const room = 192
	all, six, ten := uint64(0x3f), scsi.ModeSense6.New(), scsi.ModeSense10.New()
	for _, err := range []error{
		scsi.ModeSense6.Put(six, scsi.ModeSense6.Page, all), scsi.ModeSense6.Put(six, scsi.ModeSense6.Allocation, room),
		scsi.ModeSense10.Put(ten, scsi.ModeSense10.Page, all), scsi.ModeSense10.Put(ten, scsi.ModeSense10.Allocation, room),
	} {
		if err != nil {
			return err
		}
	}
	for name, cdb := range map[string][]byte{"MODE SENSE(6)": six, "MODE SENSE(10)": ten} {
		b, err := c.Parameters(ctx, lun, cdb, room)
		if err != nil || len(b) < 4 {
			return tester.Broken(unitServes, "%s gives %d bytes: %s", name, len(b), outcome(err))
		}
		length := int(b[0]) + 1
		if cdb[0] == scsi.OpModeSense10 {
			length = int(binary.BigEndian.Uint16(b)) + 2
		}
		if length < len(b) {
			return tester.Broken(unitServes, "%s gives %d bytes, and says that there are %d", name, len(b), length)
		}
	}
	for name, cdb := range map[string][]byte{
		"TEST UNIT READY": scsi.TestUnitReady.New(), "SYNCHRONIZE CACHE(10)": scsi.SyncCache10.New(), "SYNCHRONIZE CACHE(16)": scsi.SyncCache16.New(),
	} {
		if _, err := c.Execute(ctx, lun, cdb, srp.Buffer{}, srp.Buffer{}); err != nil {
			return tester.Broken(unitServes, "%s: %v", name, err)
		}
	}
	return nil
}

// allSizes writes and reads stamped blocks: of one block up to 1 MiB, by commands of 10 and 16 bytes, in each buffer format.
func allSizes(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	g := c.Geometry(lun)
	longest := maxTransfer(ctx, c, lun)
	number := uint64(200)
	for size := g.Block; size <= 1<<20; size *= 2 {
		for _, blocks := range []uint64{uint64(size / g.Block), uint64(size/g.Block) + 1} {
			if blocks > c.Room(lun) || blocks > longest {
				continue
			}
			for _, format := range []srp.Format{srp.Direct, srp.Indirect, srp.Immediate} {
				number++
				if err := writeAndRead(ctx, c, lun, uint32(blocks), format, number); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// maxTransfer is how many blocks one command may move, as far as the unit says.
func maxTransfer(ctx context.Context, c *tester.Channel, lun srp.LUN) uint64 {
	most := uint64(1<<20) / uint64(c.Geometry(lun).Block)
	if b, err := vital(ctx, c, lun, 0xb0); err == nil && len(b) >= 8 {
		if said := uint64(binary.BigEndian.Uint32(b[4:])); said > 0 {
			most = min(most, said)
		}
	}
	return most
}

// writeAndRead writes stamped blocks in a format, and reads them back.
func writeAndRead(ctx context.Context, c *tester.Channel, lun srp.LUN, blocks uint32, format srp.Format, number uint64) error {
	data, err := paint(c)
	if err != nil {
		return err
	}
	content := c.Stamped(lun, 0, blocks, number)
	write, cdb := scsi.Write10, scsi.Read16
	if number%2 == 0 {
		write, cdb = scsi.Write16, scsi.Read10
	}
	out, in := srp.DirectBuffer(c.Piece(0, len(content))), srp.DirectBuffer(c.Piece(0, len(content)))
	switch format {
	case srp.Direct:
		copy(data, content)
	case srp.Immediate:
		if !c.Immediate() || tester.ImmediateOffset+len(content) > int(min(c.Login.MaxInitiatorIULength, c.Request.RequestedIULength)) {
			return nil
		}
		out = srp.ImmediateBuffer(content)
	case srp.Indirect:
		if len(content) > tableOffset/2 {
			return nil
		}
		s := scatter(c, data, len(content), 3)
		s.fill(c, data, content)
		out, in = s.buffer(3), s.buffer(3)
	}
	block, err := write.AppendIO(nil, c.Base(lun), blocks, false)
	if err != nil {
		return err
	}
	m, err := c.Do(ctx, c.Command(lun, block, out, srp.Buffer{}))
	if err := succeeded(unitServes, errors.Join(err, tester.FailureOf(m))); err != nil {
		return fmt.Errorf("%s of %d blocks, format %d: %w", write.Name, blocks, format, err)
	}
	clear(data[:tableOffset])
	if block, err = cdb.AppendIO(nil, c.Base(lun), blocks, false); err != nil {
		return err
	}
	m, err = c.Do(ctx, c.Command(lun, block, srp.Buffer{}, in))
	if err := succeeded(unitServes, errors.Join(err, tester.FailureOf(m))); err != nil {
		return fmt.Errorf("%s of %d blocks, format %d: %w", cdb.Name, blocks, format, err)
	}
	got := data[:len(content)]
	if format == srp.Indirect {
		got = scattered{pieces: in.List}.content(c, data)
	}
	if err := c.IsStamped(got, lun, 0, number); err != nil {
		return tester.Broken(unitServes, "%d blocks written and read in format %d: %v", blocks, format, err)
	}
	return nil
}

// identifiers compares page 83 of a unit on two ports of the target.
func identifiers(ctx context.Context, t *tester.Tester) error {
	var first []byte
	lun := t.Target().LUNs[0]
	for rail := range 2 {
		c, err := t.Login(ctx, rail, t.Request(t.NewPort()))
		if err != nil {
			return err
		}
		if err := c.MakeReady(ctx, lun); err != nil {
			return err
		}
		page, err := vital(ctx, c, lun, 0x83)
		if err != nil {
			return err
		}
		named := designators(page)
		if rail == 0 {
			first = named
		} else if !bytes.Equal(first, named) {
			return tester.Broken("SRP-TGT-008", "on one port the unit is % x, on another % x", first, named)
		}
		if len(named) == 0 {
			return tester.Broken("SRP-TGT-008", "page 83 has no identifier of the unit")
		}
	}
	return nil
}

// designators are those of page 83 that name the unit, and neither its port nor its target.
func designators(page []byte) (named []byte) {
	const association = 0x30
	for len(page) >= 4 && 4+int(page[3]) <= len(page) {
		d := page[:4+int(page[3])]
		if d[1]&association == 0 {
			named = append(named, d...)
		}
		page = page[len(d):]
	}
	return named
}
