// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/scsi"
)

const (
	scanData     = 4096 // for what a command of the scan reports, bytes
	scanInquiry  = 255  // that old units can report as well
	lunListRoom  = 64 << 10
	typeDisk     = 0
	mostDiscard  = 1<<32 - 1 // blocks that UNMAP and WRITE SAME(16) can name
	retriesOfAll = 10
)

// Disks are those that were found, in order of their numbers.
func (p *RemotePort) Disks() []*Disk {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.disks)
}

// firstScan looks for disks, and makes the port one that stays.
func (p *RemotePort) firstScan(ctx context.Context) error {
	if err := p.Scan(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != PortRunning {
		return fmt.Errorf("%s was lost while it was scanned: %w", p, errors.Join(p.cause, syscall.EIO))
	}
	p.ready.Store(true)
	p.log.Info("logged in", "channels", len(p.nexus.channels), "disks", len(p.disks))
	return nil
}

// Scan looks for logical units that are not known yet, and looks at those that are again: their size may have changed (Clauses
// SRP-STATE-017, SRP-STATE-018). No disk goes away by it.
func (p *RemotePort) Scan(ctx context.Context) error {
	luns, err := p.reportLUNs(ctx)
	if err != nil {
		return fmt.Errorf("list the logical units of %s: %w", p, err)
	}
	for _, lun := range luns {
		if err := p.scanUnit(ctx, lun); err != nil {
			return fmt.Errorf("look at logical unit %s of %s: %w", lun, p, err)
		}
	}
	return nil
}

// scanUnit looks at one unit. What is not a disk is passed over.
func (p *RemotePort) scanUnit(ctx context.Context, lun LUN) error {
	info, err := p.look(ctx, lun)
	if err != nil || info == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.disks {
		if d.lun == lun {
			d.info.Store(info)
			return nil
		}
	}
	d := &Disk{port: p, lun: lun, zero: make([]byte, info.BlockSize)}
	d.info.Store(info)
	p.disks = append(p.disks, d)
	p.log.Info("disk", "lun", lun, "size", info.Size, "block", info.BlockSize, "vendor", info.Vendor, "product", info.Product, "serial", info.Serial)
	return nil
}

// ask sends a command without data-out and gives what came.
func (p *RemotePort) ask(ctx context.Context, lun LUN, f *scsi.Form, room int, set ...setting) ([]byte, error) {
	c := Command{LUN: lun, CDB: f.New(), In: make([]byte, room), Retries: retriesOfAll}
	set = append(set, setting{f.Allocation, uint64(room)})
	for _, s := range set {
		if s.field.Size == 0 {
			continue
		}
		if err := f.Put(c.CDB, s.field, s.value); err != nil {
			return nil, err
		}
	}
	if err := p.Execute(ctx, &c); err != nil {
		return nil, err
	}
	return c.In[:room-c.InResidual], nil
}

// setting is a value of a field of a command block.
type setting struct {
	field scsi.Field
	value uint64
}

// reportLUNs asks the unit under number 0, where that is, and the target where it is not, which units there are.
func (p *RemotePort) reportLUNs(ctx context.Context) ([]LUN, error) {
	most := min(lunListRoom, p.cfg.maxTransfer())
	b, err := p.ask(ctx, LUN{}, scsi.ReportLUNs, most)
	if err != nil {
		return nil, err
	}
	luns, more, err := scsi.ParseLUNs(b)
	if err == nil && more {
		p.log.Warn("the target has more logical units than fit into the list", "found", len(luns))
	}
	return luns, err
}

// refused tells a command that a unit does not know from one that failed.
func refused(err error) bool {
	var e *CommandError
	return errors.As(err, &e) && e.HasSense && e.Sense.Key == scsi.IllegalRequest
}

// look asks a unit what it is; nil if it is not a disk.
func (p *RemotePort) look(ctx context.Context, lun LUN) (*DiskInfo, error) {
	b, err := p.ask(ctx, lun, scsi.Inquiry, scanInquiry)
	if err != nil {
		return nil, err
	}
	id, err := scsi.ParseInquiry(b)
	if err != nil || id.Absent || id.Type != typeDisk {
		return nil, err
	}
	capacity, err := p.capacity(ctx, lun)
	if err != nil {
		return nil, err
	}
	i := &DiskInfo{
		Vendor: id.Vendor, Product: id.Product, Revision: id.Revision, BlockSize: capacity.BlockSize, PhysicalBlock: capacity.PhysicalBlock,
		Size: int64(capacity.Blocks) * int64(capacity.BlockSize), MaxIO: p.cfg.maxTransfer() / capacity.BlockSize * capacity.BlockSize,
	}
	if i.MaxIO == 0 {
		return nil, fmt.Errorf("blocks have %d bytes, a command at most %d: %w", i.BlockSize, p.cfg.maxTransfer(), syscall.EINVAL)
	}
	if err := p.lookAtPages(ctx, lun, i); err != nil {
		return nil, err
	}
	return i, p.lookAtMode(ctx, lun, i)
}

func (p *RemotePort) capacity(ctx context.Context, lun LUN) (scsi.Capacity, error) {
	b, err := p.ask(ctx, lun, scsi.ReadCapacity16, 32)
	if err == nil {
		return scsi.ParseCapacity16(b)
	}
	if !refused(err) {
		return scsi.Capacity{}, err
	}
	if b, err = p.ask(ctx, lun, scsi.ReadCapacity10, 8); err != nil {
		return scsi.Capacity{}, err
	}
	c, big, err := scsi.ParseCapacity10(b)
	if err == nil && big {
		err = fmt.Errorf("the disk has more than 2^32 blocks and no READ CAPACITY(16): %w", syscall.EFBIG)
	}
	return c, err
}

// vital reads a page of vital product data; none of a unit that does not have it.
func (p *RemotePort) vital(ctx context.Context, lun LUN, page uint8) ([]byte, error) {
	b, err := p.ask(ctx, lun, scsi.Inquiry, scanData, setting{scsi.Inquiry.Vital, 1}, setting{scsi.Inquiry.Page, uint64(page)})
	if refused(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return scsi.ParseVital(page, b)
}

// lookAtPages reads what vital product data a disk has.
func (p *RemotePort) lookAtPages(ctx context.Context, lun LUN, i *DiskInfo) error {
	has, err := p.vital(ctx, lun, 0x00)
	if err != nil {
		return err
	}
	for _, page := range []struct {
		code uint8
		take func(body []byte)
	}{
		{0x80, func(b []byte) { i.Serial = scsi.ParseSerial(b) }},
		{0x83, func(b []byte) { i.ID = scsi.ParseDesignator(b) }},
		{0xb0, func(b []byte) { i.takeLimits(scsi.ParseLimits(b)) }},
		{0xb1, func(b []byte) { i.Rotational = scsi.ParseRotational(b) }},
		{0xb2, func(b []byte) { i.takeProvisioning(scsi.ParseProvisioning(b)) }},
	} {
		if !slices.Contains(has, page.code) {
			continue
		}
		body, err := p.vital(ctx, lun, page.code)
		if err != nil {
			return err
		}
		page.take(body)
	}
	return nil
}

func (i *DiskInfo) takeLimits(l scsi.Limits) {
	block := int64(i.BlockSize)
	if l.MaxTransfer > 0 {
		i.MaxIO = int(min(int64(i.MaxIO), int64(l.MaxTransfer)*block))
	}
	if l.MaxUnmap > 0 {
		i.MaxDiscard = int64(l.MaxUnmap) * block // if the page of provisioning says so, too
	}
	if l.MaxWriteSame > 0 {
		i.MaxWriteZeroes = int64(min(l.MaxWriteSame, mostDiscard)) * block
	}
}

func (i *DiskInfo) takeProvisioning(p scsi.Provisioning) {
	i.unmap = p.Unmap && i.MaxDiscard > 0
	switch {
	case i.unmap:
	case p.WriteSame:
		i.MaxDiscard = i.MaxWriteZeroes
	default:
		i.MaxDiscard = 0
	}
}

// lookAtMode reads write protection and the cache. A disk that has no such pages has no cache, as far as can be known.
func (p *RemotePort) lookAtMode(ctx context.Context, lun LUN, i *DiskInfo) error {
	b, err := p.ask(ctx, lun, scsi.ModeSense10, scanInquiry, setting{scsi.ModeSense10.NoBlock, 1}, setting{scsi.ModeSense10.Page, scsi.CachingPage})
	if refused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := scsi.ParseMode10(b)
	i.ReadOnly, i.FUA, i.WriteCache = m.ReadOnly, m.FUA, m.WriteCache
	return err
}
