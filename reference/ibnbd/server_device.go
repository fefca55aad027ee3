// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// serverDevice is a device as one session has it open.
type serverDevice struct {
	session *serverSession
	target  *target
	id      uint32
	path    string // as sent by the client
	access  AccessMode
	mode    IOMode

	upgraded atomic.Bool // opened again for writing
	kept     atomic.Bool // its writer is not taken back, against the rules

	users atomic.Int64  // 1 for being open, and 1 for each I/O in flight; 0 for ever when all is over
	ended sync.Once     // being open ends once
	idle  chan struct{} // closed when users is 0
}

func newServerDevice(h *serverSession, t *target, path string, access AccessMode, mode IOMode) *serverDevice {
	d := &serverDevice{session: h, target: t, path: path, access: access, mode: mode, idle: make(chan struct{})}
	d.users.Store(1)
	return d
}

// usable reports whether the device is open.
func (d *serverDevice) usable() bool { return d.users.Load() > 0 }

// writable reports whether an operation may change the device.
func (d *serverDevice) writable(op Op) bool {
	rules := &d.session.server.cfg.Rules
	switch {
	case d.access != ReadOnly, rules.WriteReadOnly, rules.Upgrade && d.upgraded.Load():
		return true
	}
	return rules.DiscardReadOnly && op != OpWrite
}

// begin counts an I/O, unless the device is closed.
func (d *serverDevice) begin() bool {
	for {
		n := d.users.Load()
		if n == 0 {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// done takes an I/O back. The last one lets the device go.
func (d *serverDevice) done() {
	if d.users.Add(-1) > 0 {
		return
	}
	if rules := &d.session.server.cfg.Rules; !rules.KeepWriter && !d.kept.Load() {
		if err := d.session.server.targets.close(d.target, d.access, rules); err != nil {
			d.session.log.Error("close device", "device", d.target.name, "error", err)
		}
	}
	close(d.idle)
}

// keepIf has the writer stay counted when the device is closed, if a rule is turned off.
func (d *serverDevice) keepIf(off bool) {
	if off {
		d.kept.Store(true)
	}
}

// end closes the device and waits until its I/O has ended.
func (d *serverDevice) end() {
	d.ended.Do(d.done)
	<-d.idle
}

// open answers an OPEN (Clauses IBNBD-OPEN-001 to IBNBD-OPEN-025).
func (h *serverSession) open(r *ibtrs.ServerRequest) ibtrs.Errno {
	request, err := ParseOpenRequest(r.Header)
	if err != nil || !h.hasRoom(r, OpenResponseSize) {
		return ibtrs.EINVAL
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	path := request.DevicePath.String()
	d := h.find(path)
	if d == nil || h.server.cfg.Rules.OpenTwice {
		if d, err = h.openPath(path, request); err != nil {
			h.opens.Note("path", path, "access", request.AccessMode, "error", err)
			return ibtrs.ErrnoOf(err)
		}
		h.log.Info("device opened", "path", path, "device", d.target.name, "id", d.id, "access", d.access, "io_mode", d.mode)
	}
	if request.AccessMode != ReadOnly {
		d.upgraded.Store(true)
	}
	h.reply(r, d.describe())
	return 0
}

func (h *serverSession) openPath(path string, request OpenRequest) (*serverDevice, error) {
	cfg := &h.server.cfg
	full, err := FullPath(cfg.SearchPath, h.name, path)
	if err != nil && cfg.Rules.AnyDots {
		full, err = collapseSlashes(cfg.SearchPath+pathSeparator+path), nil
	}
	if err != nil {
		return nil, err
	}
	mode := h.agreement.Load().IOMode(request, cfg.DefaultIOMode)
	if cfg.Rules.HonourIOModeByte && request.IOMode <= BlockIO {
		mode = request.IOMode
	}
	t, err := h.server.targets.open(full, request.AccessMode, mode, &cfg.Rules)
	if err != nil {
		return nil, err
	}
	d := newServerDevice(h, t, path, request.AccessMode, mode)
	h.change(func(devices []*serverDevice) []*serverDevice {
		for id, other := range devices {
			if other == nil {
				d.id = uint32(id)
				devices[id] = d
				return devices
			}
		}
		d.id = uint32(len(devices))
		return append(devices, d)
	})
	return d, nil
}

// close answers a CLOSE, when the I/O of the device has ended (Clauses IBNBD-OPEN-022, IBNBD-OPEN-023).
func (h *serverSession) close(r *ibtrs.ServerRequest) ibtrs.Errno {
	rules := &h.server.cfg.Rules
	request, err := ParseCloseRequest(r.Header)
	if err != nil {
		return ibtrs.EINVAL
	}
	d := h.device(request.DeviceID)
	switch {
	case d == nil && rules.UnknownCloseFails:
		return ibtrs.ENOTCONN
	case d == nil || !d.usable():
		return 0
	case rules.CloseBeforeIO:
		h.admin.Go(d.end)
	default:
		d.end()
	}
	h.drop(d)
	h.log.Info("device closed", "path", d.path, "device", d.target.name, "id", d.id)
	return 0
}

// maxSegments is what the reference clients use at most in one request.
const maxSegments = 128

// describe is the reply to OPEN, in the words of the client's profile.
func (d *serverDevice) describe() OpenResponse {
	h, p := d.session, &d.target.props
	d.target.measure()
	size := uint64(d.target.size.Load())
	r := OpenResponse{
		Type: TypeOpenResponse, DeviceID: d.id, Capacity: size / SectorSize,
		MaxHWSectors:      h.server.cfg.Transport.Geometry.MaxIOSize / SectorSize,
		PhysicalBlockSize: uint16(p.PhysicalBlock), LogicalBlockSize: uint16(p.LogicalBlock), MaxSegments: maxSegments,
	}
	if h.server.cfg.Rules.BlocksAsCapacity {
		r.Capacity = size / uint64(p.LogicalBlock)
	}
	traits := Traits{IOMode: d.mode, Rotational: p.Rotational}
	if p.WriteCache && d.mode != FileIO {
		traits.Cache = CacheWriteBack
		if p.FUA {
			traits.Cache |= CacheFUA
		}
	}
	if d.mode == BlockIO { // file I/O knows reads, writes and flushes alone
		r.MaxDiscardSectors = sectors(p.MaxDiscard)
		r.DiscardGranularity, r.DiscardAlignment = uint32(p.DiscardGranularity), uint32(p.DiscardAlignment)
		r.SecureErase = uint16(asByte(p.SecureErase))
		traits.WriteZeroesSectors, traits.WriteSameSectors = sectors(p.MaxWriteZeroes), maxWriteSame/SectorSize
	}
	h.agreement.Load().Describe(&r, traits)
	return r
}

// maxWriteSame bounds one write-same, in bytes.
const maxWriteSame = 1 << 20

// sectors is a limit in the unit of the wire; what does not fit is cut.
func sectors(bytes int64) uint32 { return uint32(min(bytes/SectorSize, math.MaxUint32)) }
