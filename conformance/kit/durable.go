// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/ibnbd/ibnbd/conformance/disk"
	"github.com/ibnbd/ibnbd/vm"
)

// durable is a disk of the target's machine that outlives it.
type durable struct {
	*disk.Volatile
	dir  string
	stop func() error
}

// DurableDisk is the kernel's name of that disk on the target's machine.
const DurableDisk = "vda"

// durableSize is enough for what specs write: 8 MiB.
const durableSize = 8 << 20

// provideDurable makes the disk, and puts it into the spec of a lab for a host.
func provideDurable(spec *vm.Spec, host string) (d *durable, err error) {
	d = &durable{}
	if d.Volatile, err = disk.NewVolatile(durableSize); err != nil {
		return nil, err
	}
	if d.dir, err = os.MkdirTemp("", "disk"); err != nil {
		return nil, err
	}
	socket := filepath.Join(d.dir, "nbd")
	if d.stop, err = disk.Serve(d, socket); err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	spec.Disks = map[string][]string{host: {socket}}
	return d, nil
}

// close ends the disk. Its machine must have ended before.
func (d *durable) close() error { return errors.Join(d.stop(), os.RemoveAll(d.dir)) }
