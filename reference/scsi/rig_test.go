// SPDX-License-Identifier: Apache-2.0

package scsi_test

import (
	"encoding/hex"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

const blocks = 4096 // of 512 bytes, on the unit of a rig

// watched is memory that holds every call against the rules of backends, and counts what makes data durable.
type watched struct {
	backend.Backend
	t       testing.TB
	props   backend.Properties
	fail    error // of all I/O
	flushes atomic.Int32
	forced  atomic.Int32
}

func (w *watched) Properties() backend.Properties { return w.props }

func (w *watched) check(offset, length int64) error {
	if err := w.props.Check(offset, length); err != nil {
		w.t.Errorf("reaches the backend: %v", err)
	}
	return w.fail
}

func (w *watched) ReadAt(p []byte, offset int64) error {
	if err := w.check(offset, int64(len(p))); err != nil {
		return err
	}
	return w.Backend.ReadAt(p, offset)
}

func (w *watched) WriteAt(p []byte, offset int64, fua bool) error {
	if err := w.check(offset, int64(len(p))); err != nil {
		return err
	}
	if w.props.ReadOnly {
		w.t.Error("a read-only backend is written to")
	}
	if fua {
		w.forced.Add(1)
	}
	return w.Backend.WriteAt(p, offset, fua)
}

func (w *watched) Flush() error {
	w.flushes.Add(1)
	return w.fail
}

func (w *watched) Discard(offset, length int64) error {
	if err := w.check(offset, length); err != nil {
		return err
	}
	if length > w.props.MaxDiscard {
		w.t.Errorf("discard of %d bytes, the backend allows %d", length, w.props.MaxDiscard)
	}
	return w.Backend.Discard(offset, length)
}

func (w *watched) WriteZeroes(offset, length int64, keep bool) error {
	if err := w.check(offset, length); err != nil {
		return err
	}
	if length > w.props.MaxWriteZeroes {
		w.t.Errorf("write zeroes of %d bytes, the backend allows %d", length, w.props.MaxWriteZeroes)
	}
	return w.Backend.WriteZeroes(offset, length, keep)
}

// rig is one unit under number 0, and an initiator without unit attentions.
type rig struct {
	t     testing.TB
	disk  *watched
	unit  *scsi.Unit
	luns  *scsi.LUNs
	nexus *scsi.Nexus
}

func newRig(t testing.TB, change ...func(*backend.Properties)) *rig {
	t.Helper()
	memory, err := backend.NewMemory(blocks*512, 512)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	r := &rig{t: t, disk: &watched{Backend: memory, t: t, props: memory.Properties()}, luns: scsi.NewLUNs()}
	for _, f := range change {
		f(&r.disk.props)
	}
	cfg := scsi.DefaultUnitConfig()
	cfg.Serial = "disk0"
	if r.unit, err = scsi.NewUnit(r.disk, cfg); err != nil {
		t.Fatal(err)
	}
	if err := r.luns.Add(0, r.unit); err != nil {
		t.Fatal(err)
	}
	r.nexus = scsi.NewNexus(r.luns, scsi.PowerOnOrReset)
	if got := r.run(0, "000000000000", nil); got.Sense.Code != scsi.PowerOnOrReset {
		t.Fatalf("the first command of a new initiator ends with %+v", got)
	}
	return r
}

// outcome is how a command ended, with its data-in.
type outcome struct {
	scsi.Result
	in []byte
}

// run executes a command block, given in hexadecimal, with all the data-out that there is.
func (r *rig) run(lun uint16, cdb string, out []byte) outcome {
	r.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(cdb, " ", ""))
	if err != nil {
		r.t.Fatal(err)
	}
	name, err := scsi.NewLUN(lun)
	if err != nil {
		r.t.Fatal(err)
	}
	return execute(r.nexus, name, b, out)
}

func execute(n *scsi.Nexus, lun scsi.LUN, cdb, out []byte) (o outcome) {
	var task scsi.Task
	n.Prepare(&task, lun, cdb)
	data := make([]byte, task.Length)
	if task.Direction == scsi.DataOut {
		data = data[:copy(data, out)]
	}
	task.Run = func() { o.Result = task.Execute(data) }
	task.Submit(scsi.Simple)
	task.Ready()
	task.End()
	if task.Direction == scsi.DataIn {
		o.in = data[:o.N]
	}
	return o
}

// good fails the test unless the command succeeds.
func (r *rig) good(cdb string, out []byte) []byte {
	r.t.Helper()
	o := r.run(0, cdb, out)
	if o.Status != scsi.Good {
		r.t.Fatalf("%s: %s, %v", cdb, o.Status, o.Sense)
	}
	return o.in
}

var (
	errIO    = syscall.EIO
	errSpace = syscall.ENOSPC
)
