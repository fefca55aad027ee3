// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// cachedMemory is memory that says it has a volatile cache, and counts what goes through it.
type cachedMemory struct {
	backend.Backend
	durable atomic.Int32 // writes with FUA, and flushes
}

func (c *cachedMemory) Properties() backend.Properties {
	p := c.Backend.Properties()
	p.WriteCache, p.FUA = true, true
	return p
}

func (c *cachedMemory) WriteAt(p []byte, offset int64, fua bool) error {
	if fua {
		c.durable.Add(1)
	}
	return c.Backend.WriteAt(p, offset, fua)
}

func (c *cachedMemory) Flush() error {
	c.durable.Add(1)
	return c.Backend.Flush()
}

// TestDiskWithoutCacheStaysDurable replaces a device without volatile cache by one that has one, while a program uses it as
// a disk and has no reason to flush.
func TestDiskWithoutCacheStaysDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.Exports = []ibnbd.Export{{Path: "a", Backend: l.memory(deviceSize, 512)}}
		first, err := ibnbd.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ccfg := l.clientConfig("blya", 0)
		d := l.mapDevice(l.connect(ccfg), "a", ibnbd.ReadWrite)
		disk := ibnbd.NBDDisk(d)
		if disk.Info().WriteCache {
			t.Fatal("a disk shows a cache that the device does not have")
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		waitDevice(t, d, ibnbd.DeviceClosed, time.Second)
		cached := &cachedMemory{Backend: l.memory(deviceSize, 512)}
		cfg.Exports = []ibnbd.Export{{Path: "a", Backend: cached}}
		l.listen(cfg)
		waitDevice(t, d, ibnbd.DeviceOpen, ccfg.Transport.Timers.Reconnect(1).Limit)
		for i, write := range []func() error{
			func() error { return disk.WriteAt(context.Background(), make([]byte, 512), 0, false) },
			func() error { return disk.WriteZeroes(context.Background(), 0, 512, false) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if n := cached.durable.Load(); n != int32(i+1) {
				t.Errorf("after write %d, %d were made durable", i, n)
			}
		}
	})
}
