// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Marshal gives the bytes of a message of this project's packages, none of which can fail to encode.
func Marshal(m interface {
	AppendBinary([]byte) ([]byte, error)
}) []byte {
	b, _ := m.AppendBinary(nil)
	return b
}

// OpenMessage is the OPEN of a device, 264 bytes. A path that does not fit is cut off and has no end.
func OpenMessage(device string, access ibnbd.AccessMode) []byte {
	m := ibnbd.OpenRequest{Type: ibnbd.TypeOpen, AccessMode: access, IOMode: ibnbd.BlockIO}
	copy(m.DevicePath[:], device)
	return Marshal(m)
}

// admin is a read request on connection 0.
func (p *Path) admin(header []byte, size uint32) Request {
	r := p.Read(header, size)
	r.CID = 0
	return r
}

// SessInfo announces a version and gives the one that the target answers.
func (p *Path) SessInfo(ctx context.Context, version uint8) (ibnbd.SessInfo, error) {
	b, err := p.Call(ctx, p.admin(Marshal(ibnbd.SessInfo{Type: ibnbd.TypeSessInfo, Version: version}), ibnbd.SessInfoSize), ibnbd.SessInfoSize)
	if err != nil {
		return ibnbd.SessInfo{}, err
	}
	return ibnbd.ParseSessInfoResponse(b)
}

// Open opens a device.
func (p *Path) Open(ctx context.Context, device string, access ibnbd.AccessMode) (ibnbd.OpenResponse, error) {
	return p.OpenRaw(ctx, OpenMessage(device, access))
}

// OpenRaw sends any message that an OPEN response may follow.
func (p *Path) OpenRaw(ctx context.Context, message []byte) (ibnbd.OpenResponse, error) {
	b, err := p.Call(ctx, p.admin(message, ibnbd.OpenResponseSize), ibnbd.OpenResponseSize)
	if err != nil {
		return ibnbd.OpenResponse{}, err
	}
	return ibnbd.ParseOpenResponse(b)
}

// CloseDevice closes a device by its id.
func (p *Path) CloseDevice(ctx context.Context, id uint32) error {
	r := p.Write(Marshal(ibnbd.CloseRequest{Type: ibnbd.TypeClose, DeviceID: id}), nil)
	r.CID = 0
	_, err := p.Call(ctx, r, 0)
	return err
}

// ReadAt reads from a device, at a sector that counts from [Tester.Base].
func (p *Path) ReadAt(ctx context.Context, id uint32, sector uint64, size uint32) ([]byte, error) {
	return p.Call(ctx, p.Read(Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, id, p.Base()+sector, size)), size), int(size))
}

// WriteAt writes to a device, at a sector that counts from [Tester.Base].
func (p *Path) WriteAt(ctx context.Context, id uint32, sector uint64, data []byte) error {
	_, err := p.Call(ctx, p.Write(Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, id, p.Base()+sector, uint32(len(data)))), data), 0)
	return err
}

// Base is [Tester.Base].
func (p *Path) Base() uint64 { return p.Session.tester.Base() }

// Stamped gives blocks that tell who wrote them.
func Stamped(sector uint64, size int, sequence uint64) []byte {
	b := make([]byte, size)
	stamp.Fill(b, sector, StampOf(sequence))
	return b
}

// StampOf is what the blocks of Stamped carry.
func StampOf(sequence uint64) stamp.Stamp { return stamp.Stamp{Writer: 1, Sequence: sequence} }

// CheckStamped reads what was written as Stamped, and compares it.
func (p *Path) CheckStamped(ctx context.Context, id uint32, sector uint64, size int, sequence uint64) error {
	b, err := p.ReadAt(ctx, id, sector, uint32(size))
	if err != nil {
		return fmt.Errorf("read back sector %d: %w", sector, err)
	}
	return stamp.Check(b, sector, StampOf(sequence))
}

// Ready connects a new session over the first rail and opens the attacked export, for writing if that is allowed.
func (t *Tester) Ready(ctx context.Context) (*Path, ibnbd.OpenResponse, error) {
	return t.NewSession().Ready(ctx, t.target.Exports[0], t.Access())
}

// Ready connects the first path of a session over the first rail and opens a device. A target takes a moment to let go what a
// client had open that has left: as long as it says that somebody has the device, it is asked again.
func (s *Session) Ready(ctx context.Context, device string, access ibnbd.AccessMode) (*Path, ibnbd.OpenResponse, error) {
	p := s.NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return p, ibnbd.OpenResponse{}, fmt.Errorf("connect: %w", err)
	}
	if _, err := p.SessInfo(ctx, ibnbd.Version); err != nil {
		return p, ibnbd.OpenResponse{}, fmt.Errorf("SESS_INFO: %w", err)
	}
	opened, err := p.OpenFree(ctx, device, access)
	if err != nil {
		return p, opened, fmt.Errorf("open %s: %w", device, err)
	}
	return p, opened, nil
}

// OpenFree opens a device when nobody else has it, or fails when that takes too long.
func (p *Path) OpenFree(ctx context.Context, device string, access ibnbd.AccessMode) (ibnbd.OpenResponse, error) {
	const between = 50 * time.Millisecond // two questions
	patient, cancel := p.Session.tester.patient(ctx)
	defer cancel()
	for {
		opened, err := p.Open(ctx, device, access)
		if !errors.Is(err, ibtrs.EPERM) {
			return opened, err
		}
		select {
		case <-ctx.Done():
			return opened, context.Cause(ctx)
		case <-patient.Done():
			return opened, err
		case <-time.After(between):
		}
	}
}
