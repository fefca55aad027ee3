// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func TestDeviceIsABlockDevice(t *testing.T) {
	for name, refresh := range map[string]bool{"static keys": false, "key refresh": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				cfg := l.serverConfig()
				cfg.Transport.KeyRefresh = refresh
				l.listen(cfg)
				c := l.connect(l.clientConfig("blya", 0, 1))
				d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
				testBlockDevice(t, d, true)
				if err := d.Unmap(context.Background(), false); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// testBlockDevice does everything that can be done with a device, which may be one that erases.
func testBlockDevice(t *testing.T, d *ibnbd.Device, erases bool) {
	t.Helper()
	ctx := context.Background()
	if d.Size() != deviceSize {
		t.Errorf("size %d, want %d", d.Size(), deviceSize)
	}
	want := pattern(3, 100*512) // more than one request
	if n, err := d.WriteAt(want, 4096); n != len(want) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	expect(t, d, 4096, want)
	if n, err := d.WriteAtContext(ctx, want[:512], deviceSize-512, ibnbd.FlagFUA); n != 512 || err != nil {
		t.Fatalf("FUA write of the last block: %d, %v", n, err)
	}
	if err := d.Flush(ctx); err != nil {
		t.Errorf("flush: %v", err)
	}
	if err := d.WriteZeroes(ctx, 4096, 512, ibnbd.FlagNoUnmap); err != nil {
		t.Errorf("write zeroes: %v", err)
	}
	if err := d.Discard(ctx, 8192, 4096); err != nil {
		t.Errorf("discard: %v", err)
	}
	switch err := d.SecureErase(ctx, 4096+1024, 512); {
	case erases && err != nil:
		t.Errorf("secure erase: %v", err)
	case erases:
		clear(want[1024:1536])
	case !errors.Is(err, ibtrs.EOPNOTSUPP):
		t.Errorf("secure erase of a file: %v, want EOPNOTSUPP", err)
	}
	clear(want[:512])
	clear(want[4096:8192])
	expect(t, d, 4096, want)
	if n, err := d.ReadAt(make([]byte, 1024), deviceSize-512); n != 512 || err != io.EOF {
		t.Errorf("read across the end: %d, %v; want 512 and EOF", n, err)
	}
	if _, err := d.WriteAt(make([]byte, 1024), deviceSize-512); !errors.Is(err, ibtrs.EIO) {
		t.Errorf("write across the end: %v, want EIO", err)
	}
	if _, err := d.WriteAt(make([]byte, 100), 0); !errors.Is(err, ibtrs.EINVAL) {
		t.Errorf("write of part of a block: %v, want EINVAL", err)
	}
}

func expect(t *testing.T, d *ibnbd.Device, offset int64, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := d.ReadAt(got, offset); n != len(got) || err != nil {
		t.Fatalf("read: %d, %v", n, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read back other bytes than were written at %d", offset)
	}
}

func TestAccessModes(t *testing.T) {
	const ro, rw, mig = ibnbd.ReadOnly, ibnbd.ReadWrite, ibnbd.Migration
	for _, tc := range []struct {
		name  string
		modes []ibnbd.AccessMode // opened one after the other, by different sessions
		want  []error
	}{
		{"two writers", []ibnbd.AccessMode{rw, rw}, []error{nil, ibtrs.EPERM}},
		{"migration beside a writer", []ibnbd.AccessMode{rw, mig}, []error{nil, nil}},
		{"a third writer", []ibnbd.AccessMode{rw, mig, mig}, []error{nil, nil, ibtrs.EPERM}},
		{"writer after migration", []ibnbd.AccessMode{mig, rw}, []error{nil, ibtrs.EPERM}},
		{"readers beside a writer", []ibnbd.AccessMode{ro, rw, ro}, []error{nil, nil, nil}},
		{"unknown mode", []ibnbd.AccessMode{3, rw}, []error{ibtrs.EINVAL, nil}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.listen(l.serverConfig())
				for i, mode := range tc.modes {
					c := l.connect(l.clientConfig(string(rune('a'+i)), 0))
					_, err := c.Map(context.Background(), "ram0", mode, ibnbd.BlockIO)
					if !errors.Is(err, tc.want[i]) {
						t.Errorf("open %d in mode %s: %v, want %v", i, mode, err, tc.want[i])
					}
				}
			})
		})
	}
}

func TestReadOnlyMapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "ram0", ibnbd.ReadOnly)
		if _, err := d.WriteAt(make([]byte, 512), 0); !errors.Is(err, ibtrs.EROFS) {
			t.Errorf("write: %v, want EROFS", err)
		}
		expect(t, d, 0, make([]byte, 512))
	})
}

func TestPathsOfDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		cfg := l.serverConfig()
		cfg.SearchPath = "/pool/%SESSNAME%/ignored"
		cfg.Exports = []ibnbd.Export{
			{Path: "/pool/blya/ram0", Backend: l.memory(deviceSize, 512)},
			{Path: "/pool/blya/big", Backend: l.memory(deviceSize, 4096)},
		}
		l.listen(cfg)
		c := l.connect(l.clientConfig("blya", 0))
		l.mapDevice(c, "//ram0", ibnbd.ReadWrite)
		if d := l.mapDevice(c, "big", ibnbd.ReadWrite); d.Response().Capacity != deviceSize/512 || d.BlockSize() != 4096 {
			t.Errorf("capacity %d and block %d, want %d sectors of 512 and 4096", d.Response().Capacity, d.BlockSize(), deviceSize/512)
		}
		for path, want := range map[string]error{
			"ram1": ibtrs.ENOENT, "..": ibtrs.EINVAL, "a..b": ibtrs.EINVAL, "//ram0": ibtrs.EEXIST, "/": ibtrs.ENOTBLK,
		} {
			if _, err := c.Map(context.Background(), path, ibnbd.ReadWrite, ibnbd.BlockIO); !errors.Is(err, want) {
				t.Errorf("map %q: %v, want %v", path, err, want)
			}
		}
	})
}

func TestTellsThatAStateHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.serverConfig())
		cfg := l.clientConfig("blya", 0)
		news := make(chan struct{}, 1)
		cfg.Changed = func() {
			select {
			case news <- struct{}{}:
			default:
			}
		}
		c := l.connect(cfg)
		d := l.mapDevice(c, "ram0", ibnbd.ReadWrite)
		<-news
		path := c.Session().Paths()[0]
		if err := path.Disconnect(context.Background()); err != nil {
			t.Fatal(err)
		}
		<-news
		if d.State() != ibnbd.DeviceClosed {
			t.Errorf("without a path the device is %s", d.State())
		}
		synctest.Wait() // the server, too, is done with the path
		if err := path.Reconnect(context.Background()); err != nil {
			t.Fatal(err)
		}
		for d.State() != ibnbd.DeviceOpen {
			<-news
		}
	})
}

func TestFileBackendThroughTheWire(t *testing.T) {
	l := newLab(t)
	b, err := backend.OpenFile(t.TempDir()+"/disk", deviceSize, false)
	if err != nil {
		t.Fatal(err)
	}
	cfg := l.serverConfig()
	cfg.Exports = append(cfg.Exports, ibnbd.Export{Path: "disk", Backend: b})
	l.listen(cfg)
	c := l.connect(l.clientConfig("blya", 0, 1))
	testBlockDevice(t, l.mapDevice(c, "disk", ibnbd.ReadWrite), false)
}
