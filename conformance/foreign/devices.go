// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// devices are the RDMA devices of this side, and what records their packets.
type devices struct {
	open      []rdma.Device
	recorders []*recorder // one for each device
	seen      bool        // the devices show their packets: they are of the provider soft
}

// add opens a device at an own address.
func (d *devices) add(place Place, source netip.Prefix) (rdma.Device, error) {
	n := len(d.open)
	if n == len(d.recorders) {
		d.recorders = append(d.recorders, &recorder{rail: fmt.Sprintf("rail%d", n)})
	}
	device, err := place.open(source, d.recorders[n])
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("own address %s: %w; or choose another own address with --source", source.Addr(), err)
	}
	if err != nil {
		return nil, err
	}
	_, d.seen = device.(*soft.Device)
	d.open = append(d.open, device)
	return device, nil
}

// renew closes the devices, so that others can be added in their place. What is being recorded goes on.
func (d *devices) renew() error {
	err := d.Close()
	d.open = nil
	return err
}

// Close closes the devices.
func (d *devices) Close() error {
	var errs []error
	for _, device := range d.open {
		errs = append(errs, device.Close())
	}
	return errors.Join(errs...)
}

// record begins to record the packets of a spec.
func (d *devices) record(report Report) (files []string, err error) {
	if !d.seen {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Join(report.Dir, report.Evidence), 0o755); err != nil {
		return nil, err
	}
	for _, r := range d.recorders {
		name := filepath.Join(report.Dir, report.Evidence, r.rail+".pcapng")
		if err := r.begin(name); err != nil {
			return nil, errors.Join(err, d.endRecording())
		}
		files = append(files, name)
	}
	return files, nil
}

// lastMessage is the frame of the last message before some time, on whichever device.
func (d *devices) lastMessage(before time.Time) (p place, found bool) {
	var last message
	for _, r := range d.recorders {
		if m := r.lastMessage(before); m.at.After(last.at) {
			last, p = m, place{r.rail, m.number}
		}
	}
	return p, last.number != 0
}

func (d *devices) endRecording() error {
	var errs []error
	for _, r := range d.recorders {
		errs = append(errs, r.end())
	}
	return errors.Join(errs...)
}
