// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func responses() []Attack {
	return []Attack{
		{Name: "commands that succeed", Clauses: []string{"SRP-RSP-001"}, Run: goodResponses},
		{Name: "commands that fail", Clauses: []string{"SRP-RSP-002"}, Run: senseData},
		{Name: "more memory than a command fills", Clauses: []string{"SRP-RSP-005"}, Run: underflowIn},
		{Name: "more data than a write takes", Clauses: []string{"SRP-RSP-006"}, Does: foreign.Writes, Run: underflowOut},
		{Name: "reads whose data is looked at with the response", Clauses: []string{"SRP-RSP-014", "SRP-DATA-008"}, Does: foreign.Writes, Run: dataFirst},
		{Name: "many large reads at once", Clauses: []string{"SRP-RSP-015", "SRP-CRED-002"}, Run: manyReads},
	}
}

// goodResponses looks at every field of responses to commands that succeed with all of their buffer.
func goodResponses(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	for _, unit := range [][]byte{
		c.Command(lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}),
		c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, c.Geometry(lun).Block))),
	} {
		m, err := c.Do(ctx, unit)
		if err != nil {
			return err
		}
		if m.Size() != srp.RspSize || m.Flags != 0 || m.Status != 0 || m.SenseLength != 0 || m.ResponseLength != 0 {
			return tester.Broken("SRP-RSP-001", "command %#02x is answered with %d bytes, flags %#02x, status %#02x, %d bytes of sense and %d of response data",
				unit[32], m.Size(), uint8(m.Flags), m.Status, m.SenseLength, m.ResponseLength)
		}
	}
	return nil
}

// senseData has commands fail, and looks where their sense is.
func senseData(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-RSP-002"
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	g := c.Geometry(lun)
	if _, err := c.Memory(); err != nil {
		return err
	}
	beyond, err := scsi.Read16.AppendIO(nil, g.Last+1, 1, false)
	if err != nil {
		return err
	}
	for _, bad := range []struct {
		what string
		cdb  []byte
		code scsi.Code
	}{{"a read beyond the end", beyond, scsi.LBAOutOfRange}, {"an unknown command", []byte{0xff, 0, 0, 0, 0, 0}, scsi.InvalidOperationCode}} {
		in := srp.Buffer{}
		if bad.cdb[0] == scsi.OpRead16 {
			in = srp.DirectBuffer(c.Piece(0, g.Block))
		}
		m, err := c.Do(ctx, c.Command(lun, bad.cdb, srp.Buffer{}, in))
		if err != nil {
			return tester.Broken(clause, "%s: %v, it must be answered", bad.what, err)
		}
		if want := srp.RspSize + int(m.ResponseLength) + int(m.SenseLength); m.Flags&srp.SenseValid == 0 || m.SenseLength == 0 || m.Size() != want {
			return tester.Broken(clause, "%s is answered with %d bytes, flags %#02x, %d bytes of sense and %d of response data", bad.what, m.Size(), uint8(m.Flags), m.SenseLength, m.ResponseLength)
		}
		if err := sensed(clause, m, nil, scsi.IllegalRequest, bad.code); err != nil {
			return fmt.Errorf("%s: %w", bad.what, err)
		}
	}
	return nil
}

// underflowIn gives commands more room than they have to say.
func underflowIn(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	if _, err := c.Memory(); err != nil {
		return err
	}
	size := c.Geometry(lun).Block
	cdb, err := read(c, lun, 1)
	if err != nil {
		return err
	}
	for _, u := range []struct {
		what       string
		cdb        []byte
		room, says int
	}{
		{"READ CAPACITY(10)", scsi.ReadCapacity10.New(), 255, 8}, {"a read of a block", cdb, 3*size + 1, size},
	} {
		m, err := c.Do(ctx, c.Command(lun, u.cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, u.room))))
		if err := errors.Join(err, tester.FailureOf(m)); err != nil {
			return tester.Broken("SRP-RSP-005", "%s with room for %d bytes: %v", u.what, u.room, err)
		}
		if m.Flags != srp.DataInUnder || int(m.DataInResidual) != u.room-u.says {
			return tester.Broken("SRP-RSP-005", "%s, of %d bytes, with room for %d is answered with flags %#02x and a data-in residual of %d", u.what, u.says, u.room, uint8(m.Flags), m.DataInResidual)
		}
	}
	return nil
}

// underflowOut offers a write more data than it takes.
func underflowOut(ctx context.Context, t *tester.Tester) error {
	const number = 110
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	data, err := c.Memory()
	if err != nil {
		return err
	}
	copy(data, c.Stamped(lun, 0, 3, number))
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), 1, false)
	if err != nil {
		return err
	}
	m, err := c.Do(ctx, c.Command(lun, write, srp.DirectBuffer(c.Piece(0, 3*size)), srp.Buffer{}))
	if err := errors.Join(err, tester.FailureOf(m)); err != nil {
		return tester.Broken("SRP-RSP-006", "a write of %d bytes that is offered %d: %v", size, 3*size, err)
	}
	if m.Flags != srp.DataOutUnder || int(m.DataOutResidual) != 2*size {
		return tester.Broken("SRP-RSP-006", "a write of %d bytes that is offered %d is answered with flags %#02x and a data-out residual of %d", size, 3*size, uint8(m.Flags), m.DataOutResidual)
	}
	return c.CheckStamped(ctx, lun, 0, 1, number)
}

// dataFirst reads again and again, and looks whether all data is there as soon as the response is.
func dataFirst(ctx context.Context, t *tester.Tester) error {
	const number = 120
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	blocks := uint32(max(1, min(32, c.Room(lun))))
	if err := c.WriteAt(ctx, lun, 0, c.Stamped(lun, 0, blocks, number)); err != nil {
		return err
	}
	cdb, err := read(c, lun, blocks)
	if err != nil {
		return err
	}
	size := int(blocks) * c.Geometry(lun).Block
	for range 16 {
		data, err := paint(c)
		if err != nil {
			return err
		}
		m, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, size))))
		if err := errors.Join(err, tester.FailureOf(m)); err != nil {
			return err
		}
		if err := c.IsStamped(data[:size], lun, 0, number); err != nil {
			return tester.Broken("SRP-RSP-014", "when the response to a read of %d bytes has come: %v", size, err)
		}
	}
	if c.Invalidates {
		return tester.Broken("SRP-DATA-008", "the target uses SEND with invalidate")
	}
	return nil
}

// manyReads uses all credits for reads that together take all of the memory, twice, and takes an answer of each.
func manyReads(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	data, err := c.Memory()
	if err != nil {
		return err
	}
	g := c.Geometry(lun)
	share := len(data) / int(c.Limit()) // so that no two commands have the same memory
	blocks := uint32(max(1, min(uint64(share/g.Block), g.Last+1-c.Base(lun))))
	cdb, err := read(c, lun, blocks)
	if err != nil {
		return err
	}
	for range 2 {
		var units [][]byte
		for i := range int(c.Limit()) {
			units = append(units, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(i*share, int(blocks)*g.Block))))
		}
		if err := c.Post(units...); err != nil {
			return err
		}
		for i := range units {
			m, err := c.Any(ctx)
			if err != nil {
				return tester.Broken("SRP-RSP-015", "%d of %d reads at once are not answered: %v", len(units)-i, len(units), err)
			}
			if s := scsi.Status(m.Status); s != scsi.Good && s != scsi.Busy && s != scsi.TaskSetFull {
				return tester.Broken("SRP-RSP-015", "one of %d reads at once is answered with %s", len(units), s)
			}
		}
	}
	return nil
}
