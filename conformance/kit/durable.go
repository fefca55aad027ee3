// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/disk"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
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
func provideDurable(spec *vm.Config, host string) (d *durable, err error) {
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

// CheckIOMMU ends the spec, as one that could not be set up, when the devices of the machines do not reach memory as the lab was
// to have it: through an IOMMU or not.
func (t *Testbed) CheckIOMMU(ctx context.Context) {
	ginkgo.GinkgoHelper()
	const of = "/../iommu_group" // of the PCI device that a virtual one is on
	disk := t.Server.Exists(ctx, "/sys/block/"+DurableDisk+"/device"+of)
	card := t.Client.Exists(ctx, "/sys/class/net/"+t.InitiatorHost.NIC(0).Interface+"/device"+of)
	if want := t.Lab.Config().IOMMU; disk != want || card != want {
		specreport.Broke(verdict.SetupFailed, "the lab is to have an IOMMU: %t; the target's disk is behind one: %t; the initiator's card: %t", want, disk, card)
	}
}
