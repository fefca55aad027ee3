// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// ownEnd is what this side has of a stay: its devices, and what records their packets.
type ownEnd struct {
	devices   []rdma.Device
	recorders []*recorder // of the provider soft, one for each device
}

// openDevice opens a device at an own address.
func (o *ownEnd) openDevice(place Place, source netip.Prefix) (rdma.Device, error) {
	r := &recorder{rail: fmt.Sprintf("rail%d", len(o.devices))}
	device, err := place.open(source, r.trace)
	if err != nil {
		return nil, err
	}
	o.devices = append(o.devices, device)
	if _, seen := device.(*soft.Device); seen {
		o.recorders = append(o.recorders, r)
	}
	return device, nil
}

// Close closes the devices.
func (o *ownEnd) Close() error {
	var errs []error
	for _, d := range o.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// record begins to record the packets of a spec.
func (o *ownEnd) record(report Report) (files []string, err error) {
	if len(o.recorders) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Join(report.Dir, report.Evidence), 0o755); err != nil {
		return nil, err
	}
	for _, r := range o.recorders {
		name := filepath.Join(report.Dir, report.Evidence, r.rail+".pcapng")
		if err := r.begin(name); err != nil {
			return nil, errors.Join(err, o.endRecording())
		}
		files = append(files, name)
	}
	return files, nil
}

func (o *ownEnd) endRecording() error {
	var errs []error
	for _, r := range o.recorders {
		errs = append(errs, r.end())
	}
	return errors.Join(errs...)
}
