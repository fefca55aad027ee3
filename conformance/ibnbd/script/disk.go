// SPDX-License-Identifier: Apache-2.0

package script

import (
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// OpenResponse is the answer to an OPEN.
type OpenResponse = ibnbd.OpenResponse

// Disk is the one device that a server has, under any path.
type Disk struct {
	Open    OpenResponse   // what OPEN answers
	Version uint8          // what SESS_INFO answers, at most
	Offers  ibnbd.Features // to clients of this project
	Content []byte         // what lies behind it is read as zeroes, and not kept
}

// diskSize is that of a new disk, in bytes.
const diskSize = 1 << 20

// NewDisk makes a disk that fits a geometry.
func NewDisk(g ibtrs.Geometry) *Disk {
	const block = 512
	const segments = 32
	return &Disk{
		Version: ibnbd.Version, Offers: ibnbd.AllFeatures, Content: make([]byte, diskSize),
		Open: OpenResponse{
			Type: ibnbd.TypeOpenResponse, DeviceID: 7, Capacity: diskSize / ibnbd.SectorSize,
			MaxHWSectors: g.MaxIOSize / ibnbd.SectorSize, MaxSegments: segments,
			PhysicalBlockSize: block, LogicalBlockSize: block,
		},
	}
}

// serve executes a request and gives the data of its answer.
func (v *Server) serve(r *Request) (ibtrs.Errno, []byte) {
	d := v.Disk
	switch r.Kind {
	case ibnbd.TypeSessInfo:
		request, err := ibnbd.ParseSessInfo(r.Header)
		if err != nil {
			return ibtrs.EINVAL, nil
		}
		answer, _ := ibnbd.Answer(request, d.Offers)
		answer.Version = min(answer.Version, d.Version)
		return 0, marshal(answer)
	case ibnbd.TypeOpen:
		response := d.Open
		if f := v.Script.Adapt; f != nil {
			f(&response)
		}
		return 0, marshal(response)
	case ibnbd.TypeClose:
		return 0, nil
	case ibnbd.TypeIO:
		return d.io(r)
	}
	return ibtrs.EINVAL, nil
}

// io reads or writes. What else there is has nothing to do here.
func (d *Disk) io(r *Request) (ibtrs.Errno, []byte) {
	if r.IO.DeviceID != d.Open.DeviceID {
		return ibtrs.ENOTCONN, nil
	}
	at := r.IO.Sector * ibnbd.SectorSize
	switch r.IO.Op() {
	case ibnbd.OpRead:
		data := make([]byte, r.IO.Size)
		if at < uint64(len(d.Content)) {
			copy(data, d.Content[at:])
		}
		return 0, data
	case ibnbd.OpWrite:
		if at < uint64(len(d.Content)) {
			copy(d.Content[at:], r.Data)
		}
		return 0, nil
	case ibnbd.OpWriteZeroes, ibnbd.OpDiscard:
		if at < uint64(len(d.Content)) {
			clear(d.Content[at:min(uint64(len(d.Content)), at+uint64(r.IO.Size))])
		}
	}
	return 0, nil
}
