// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// resizable shows as much of a device as its size says.
type resizable struct {
	backend.Backend
	begin int64
	size  atomic.Int64
}

func (r *resizable) Properties() backend.Properties {
	p := r.Backend.Properties()
	p.Size = r.begin
	return p
}

func (r *resizable) Size() (int64, error) { return r.size.Load(), nil }

// TestNewMappingTellsTheNewSize while an older mapping of the same device stays (Clause IBNBD-FAIL-033).
func TestNewMappingTellsTheNewSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		disk := &resizable{Backend: l.memory(2*deviceSize, 512), begin: deviceSize}
		disk.size.Store(deviceSize)
		cfg := l.serverConfig()
		cfg.Exports = []ibnbd.Export{{Path: "a", Backend: disk}}
		l.listen(cfg)
		before := l.mapDevice(l.connect(l.clientConfig("before", 0)), "a", ibnbd.ReadWrite)

		for _, size := range []int64{2 * deviceSize, deviceSize, 2*deviceSize - 4096} {
			disk.size.Store(size)
			c := l.connect(l.clientConfig("after", 0))
			after := l.mapDevice(c, "a", ibnbd.Migration)
			if after.Size() != size {
				t.Errorf("a new mapping tells %d bytes, the device has %d", after.Size(), size)
			}
			want := pattern(1, 512)
			if _, err := after.WriteAt(want, size-512); err != nil {
				t.Errorf("write to the last block of %d bytes: %v", size, err)
			}
			expect(t, after, size-512, want)
			if _, err := before.WriteAt(want, 0); err != nil {
				t.Errorf("write by the mapping from before: %v", err)
			}
			if err := errors.Join(after.Unmap(t.Context(), false), c.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}
