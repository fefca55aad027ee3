// SPDX-License-Identifier: Apache-2.0

package srp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// forms are ways in which data of commands is described, by what is configured.
var forms = map[string]func(*srp.PortConfig, *srp.TargetConfig){
	"a key for each command": func(*srp.PortConfig, *srp.TargetConfig) {},
	"one key":                func(c *srp.PortConfig, _ *srp.TargetConfig) { c.Keys = srp.GlobalKey },
	"no immediate data":      func(c *srp.PortConfig, _ *srp.TargetConfig) { c.MaxImmediate = 0 },
	"not granted":            func(_ *srp.PortConfig, t *srp.TargetConfig) { t.NoImmediate = true },
	"lists": func(c *srp.PortConfig, _ *srp.TargetConfig) {
		c.Keys, c.Segment, c.MaxImmediate = srp.GlobalKey, 4096, 0
	},
	"partial lists": func(c *srp.PortConfig, _ *srp.TargetConfig) {
		c.Keys, c.Segment, c.MaxImmediate = srp.GlobalKey, 4096, 0
		c.Login.AllowExtSG, c.Login.SGTableSize, c.Login.CmdSGEntries = true, 256, 3
	},
	"four channels": func(c *srp.PortConfig, _ *srp.TargetConfig) { c.Login.ChannelCount = 4 },
	"short units":   func(c *srp.PortConfig, t *srp.TargetConfig) { t.MaxIULength = 9000; c.Login.MaxITIUSize = 600 },
}

// TestDataIntegrity writes, reads back and compares, from 512 bytes to 1 MiB (Clause SRP-CMD-022).
func TestDataIntegrity(t *testing.T) {
	for name, change := range forms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				tc, cfg := l.targetConfig(), l.portConfig()
				change(&cfg, &tc)
				l.listen(tc)
				d := disk0(t, l.login(cfg))
				for i, n := range []int{512, 1024, 4096, 4608, 8192, 8704, 65536, 128 << 10, 1 << 20} {
					want, got := pattern(i, n), make([]byte, n)
					at := int64(1<<20-n) / 512 * 512
					if w, err := d.WriteAt(want, at); w != n || err != nil {
						t.Fatalf("write %d bytes: %d, %v", n, w, err)
					}
					if r, err := d.ReadAt(got, at); r != n || err != nil {
						t.Fatalf("read %d bytes: %d, %v", n, r, err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%d bytes: read others than were written", n)
					}
					if err := l.disk.Backend.ReadAt(got, at); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%d bytes: the disk holds others (%v)", n, err)
					}
				}
			})
		})
	}
}

// TestScan finds all disks, with what they tell of themselves.
func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for _, number := range []uint16{1, 255, 256, 16383} { // Clause SRP-CMD-016
			l.add(number, fmt.Sprintf("disk%d", number), newGated(t))
		}
		l.listen(l.targetConfig())
		p := l.login(l.portConfig())
		if p.State() != srp.PortRunning || len(p.Disks()) != 5 {
			t.Fatalf("port %s with %d disks", p.State(), len(p.Disks()))
		}
		for i, want := range []uint16{0, 1, 255, 256, 16383} {
			d := p.Disks()[i]
			info := d.Info()
			if n, ok := d.LUN().Number(); !ok || n != want || info.Serial != fmt.Sprintf("disk%d", want) || len(info.ID) != 16 {
				t.Errorf("disk %d: %+v", i, info)
			}
			if d.Size() != 1<<20 || d.BlockSize() != 512 || info.MaxDiscard == 0 || info.MaxWriteZeroes == 0 || !info.FUA {
				t.Errorf("disk %d: %+v", i, info)
			}
			if _, err := d.WriteAt(pattern(i, 512), 0); err != nil {
				t.Error(err)
			}
		}
		l.add(7, "disk7", newGated(t)) // raises a unit attention, which no user sees
		if err := p.Scan(context.Background()); err != nil || len(p.Disks()) != 6 {
			t.Errorf("after another scan: %d disks, %v", len(p.Disks()), err)
		}
	})
}

func TestDiskOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		d := disk0(t, l.login(l.portConfig()))
		ctx := context.Background()
		if _, err := d.WriteAt(pattern(1, 64<<10), 0); err != nil {
			t.Fatal(err)
		}
		zero := make([]byte, 4096)
		got := make([]byte, 4096)
		for name, do := range map[string]func() error{
			"discard":      func() error { return d.Discard(ctx, 0, 4096) },
			"write zeroes": func() error { return d.WriteZeroes(ctx, 4096, 4096, true) },
			"fua":          func() error { _, err := d.WriteAtContext(ctx, zero, 8192, true); return err },
			"flush":        func() error { return d.Flush(ctx) },
		} {
			if err := do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, at := range []int64{0, 4096, 8192} {
			if _, err := d.ReadAt(got, at); err != nil || !bytes.Equal(got, zero) {
				t.Errorf("at %d: %x... %v", at, got[:8], err)
			}
		}
		if n, err := d.ReadAt(make([]byte, 1024), d.Size()-512); n != 512 || err != io.EOF {
			t.Errorf("read across the end: %d, %v", n, err)
		}
		if _, err := d.WriteAt(make([]byte, 1024), d.Size()-512); !errors.Is(err, syscall.EIO) {
			t.Errorf("write across the end: %v", err)
		}
		if _, err := d.ReadAt(make([]byte, 100), 0); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "512") {
			t.Errorf("half a block: %v", err)
		}
		if err := d.Reset(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestAsynchronousIO keeps more in flight than the target gives credits for.
func TestAsynchronousIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		d := disk0(t, l.login(l.portConfig()))
		const n = 100
		ended := make(chan error, n)
		done := func(_ *srp.IO, err error) { ended <- err }
		for i := range n {
			if err := d.Submit(&srp.IO{Op: srp.OpWrite, Offset: int64(i) * 4096, Data: pattern(i, 4096), Done: done}); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		for i := range n {
			got := make([]byte, 4096)
			if err := l.disk.Backend.ReadAt(got, int64(i)*4096); err != nil || !bytes.Equal(got, pattern(i, 4096)) {
				t.Fatalf("block %d is wrong (%v)", i, err)
			}
		}
	})
}

// TestSense lets commands fail.
func TestSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		p := l.login(l.portConfig())
		cdb, _ := scsi.Read10.AppendIO(nil, 1<<20, 8, false)
		c := srp.Command{CDB: cdb, In: make([]byte, 4096)}
		var failed *srp.CommandError
		if err := p.Execute(context.Background(), &c); !errors.As(err, &failed) || failed.Sense.Code != scsi.LBAOutOfRange || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("read behind the end: %v", err)
		}
		c = srp.Command{CDB: scsi.Inquiry.New(), In: make([]byte, 255)} // Clause SRP-RSP-008
		if err := scsi.Inquiry.Put(c.CDB, scsi.Inquiry.Allocation, 200); err != nil {
			t.Fatal(err)
		}
		if err := p.Execute(context.Background(), &c); err != nil || c.InResidual != 255-74 {
			t.Errorf("INQUIRY: residual %d, %v", c.InResidual, err)
		}
		far, _ := scsi.NewLUN(99)
		c = srp.Command{LUN: far, CDB: scsi.TestUnitReady.New()}
		if err := p.Execute(context.Background(), &c); !errors.As(err, &failed) || failed.Sense.Code != scsi.LogicalUnitNotSupported || !errors.Is(err, syscall.ENXIO) {
			t.Errorf("unknown unit: %v", err)
		}
	})
}

// TestLoginRefused shows that the reason is told (Clause SRP-LOGIN-023), and that nothing is left behind.
func TestLoginRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		port   func(*srp.PortConfig)
		target func(*srp.TargetConfig)
		reason srp.RejectReason
		cm     uint16
		says   string
	}{
		{"another target port", func(c *srp.PortConfig) { c.Login.IOCGUID++ }, nil, srp.RejectNexus, 28, "id_ext and ioc_guid"},
		{"halves exchanged", func(c *srp.PortConfig) { c.Login.IOClass = srp.IOClassRev10 }, nil, srp.RejectNexus, 28, "id_ext and ioc_guid"},
		{"no access", nil, func(c *srp.TargetConfig) { c.Everybody = nil }, srp.RejectChannelsExhausted, 28, "may not know this initiator"},
		{"too long", func(c *srp.PortConfig) { c.MaxImmediate = 64 << 10 }, nil, srp.RejectIULength, 28, "max_it_iu_size"},
		{"nobody listens", nil, func(c *srp.TargetConfig) { c.Listen = 1 }, 0, 8, "nothing listens on that port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				cfg, tc := l.portConfig(), l.targetConfig()
				if c.port != nil {
					c.port(&cfg)
				}
				if c.target != nil {
					c.target(&tc)
				}
				l.listen(tc)
				i := l.system(srp.DefaultInitiatorConfig())
				_, err := i.Add(context.Background(), cfg)
				var refused *srp.LoginError
				if !errors.As(err, &refused) || refused.Reason != c.reason || refused.CM != c.cm || !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				if len(i.Ports()) != 0 {
					t.Error("a port is left behind")
				}
			})
		})
	}
}

// TestSecondConnectionIsRefused adds the same port twice (Clause SRP-SYSFS-007), and then with another extension.
func TestSecondConnectionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		p := l.login(cfg)
		i := l.system(srp.DefaultInitiatorConfig())
		cfg.Login.InitiatorExt = 1
		if _, err := i.Add(context.Background(), cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Add(context.Background(), cfg); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("%v", err)
		}
		if len(i.Ports()) != 1 || p.State() != srp.PortRunning || len(l.target.Nexuses()) != 2 {
			t.Errorf("%d ports, the first is %s", len(i.Ports()), p.State())
		}
	})
}

// TestDelete logs out, and ends what waits.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := l.held()
		l.listen(l.targetConfig())
		cfg := l.portConfig()
		cfg.Login.ChannelCount = 3
		p := l.login(cfg)
		d := p.Disks()[1]
		if n := len(l.target.Nexuses()[0].Channels()); n != 3 {
			t.Errorf("%d channels", n)
		}
		ended := make(chan error, 1)
		if err := d.Submit(&srp.IO{Op: srp.OpRead, Data: make([]byte, 512), Done: func(_ *srp.IO, err error) { ended <- err }}); err != nil {
			t.Fatal(err)
		}
		<-held.busy
		start := time.Now()
		if err := p.Delete(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("deletion took %s", took)
		}
		if err := <-ended; !errors.Is(err, syscall.ENODEV) {
			t.Errorf("I/O of a deleted port: %v", err)
		}
		if _, err := d.ReadAt(make([]byte, 512), 0); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("I/O after it: %v", err)
		}
		close(held.hold)
		time.Sleep(time.Second)
		if n := len(l.target.Nexuses()); n != 0 || p.State() != srp.PortLost {
			t.Errorf("%d initiators are logged in, the port is %s", n, p.State())
		}
	})
}

// TestAbort gives up a command that the target has, and one that waits.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := l.held()
		tc := l.targetConfig()
		tc.RequestLimit = 2 // one command
		l.listen(tc)
		cfg := l.portConfig()
		p := l.login(cfg)
		d := p.Disks()[1]
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := d.ReadAtContext(within(t, time.Second), make([]byte, 512), 0)
				results <- err
			}()
			synctest.Wait()
		}
		<-held.busy
		time.Sleep(2 * time.Second) // the backend cannot be interrupted, so the target answers the abort when it is done
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one that waits: %v", err)
		}
		select {
		case err := <-results:
			t.Errorf("the one that is executed ends before the target says so: %v", err)
		default:
		}
		held.hold <- struct{}{}
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one that is executed: %v", err)
		}
		close(held.hold)
		if _, err := d.ReadAt(make([]byte, 512), 0); err != nil || p.State() != srp.PortRunning {
			t.Errorf("afterwards: %v, the port is %s", err, p.State())
		}
		if s := p.Info().Stats; s.Aborts != 1 || s.Outstanding != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestResetEndsCommands resets the unit while a command is executed.
func TestResetEndsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		held := l.held()
		l.listen(l.targetConfig())
		p := l.login(l.portConfig())
		d := p.Disks()[1]
		ended := make(chan error, 2)
		go func() {
			_, err := d.ReadAt(make([]byte, 512), 0)
			ended <- err
		}()
		<-held.busy
		go func() { ended <- d.Reset(context.Background()) }()
		synctest.Wait()
		close(held.hold)
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, srp.ErrReset) {
				t.Error(err)
			}
		}
		if _, err := d.ReadAt(make([]byte, 512), 0); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestRequestsOfTheTarget answers SRP_CRED_REQ and SRP_AER_REQ, with no credit left.
func TestRequestsOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		tc := l.targetConfig()
		tc.SpareCredits = 16
		l.listen(tc)
		p := l.login(l.portConfig())
		c := l.target.Nexuses()[0].Channels()[0]
		limit := p.Info().RequestLimit
		for i, step := range []func() error{
			func() error { return c.GiveCredits(-limit) },
			func() error { return c.GiveCredits(3) },
			func() error { return c.Report(srp.LUN{}, []byte("sense"), 2) },
			func() error { return c.GiveCredits(limit) },
		} {
			if err := step(); err != nil {
				t.Fatalf("request %d: %v", i, err) // EBUSY: the one before was not answered
			}
			synctest.Wait()
		}
		if info := p.Info(); info.RequestLimit != limit+5 || info.Stats.CreditRequests != 3 || info.Stats.Events != 1 {
			t.Errorf("limit %d, want %d: %+v", info.RequestLimit, limit+5, info.Stats)
		}
	})
}
