// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// FuzzServer sends a server messages that a fuzzer has made, as reads and as writes with any amount of data: each is
// answered, nothing panics, and the device of another session keeps its contents.
func FuzzServer(f *testing.F) {
	io := ibnbd.NewIORequest(ibnbd.OpWrite, 0, 0, 0, 512)
	open, err := ibnbd.NewOpenRequest("ram0", ibnbd.ReadWrite, ibnbd.BlockIO)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []interface {
		AppendBinary([]byte) ([]byte, error)
	}{io, open, ibnbd.NewSessInfo(ibnbd.AllFeatures), ibnbd.CloseRequest{Type: ibnbd.TypeClose}} {
		b, _ := m.AppendBinary(nil)
		f.Add(b, uint16(512), false)
		f.Add(b, uint16(56), true)
	}
	l := newLab(f)
	cfg := l.serverConfig()
	cfg.Exports = append(cfg.Exports, ibnbd.Export{Path: "other", Backend: l.memory(deviceSize, 512)})
	l.listen(cfg)
	attacker := l.connect(l.clientConfig("attacker", 0))
	l.mapDevice(attacker, "ram0", ibnbd.ReadWrite)
	conforming := l.mapDevice(l.connect(l.clientConfig("conforming", 1)), "other", ibnbd.ReadWrite)
	want := pattern(1, 4096)
	if _, err := conforming.WriteAt(want, 0); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header []byte, size uint16, write bool) {
		r := &ibtrs.Request{Header: header, Data: make([]byte, int(size)%8192), Direction: ibtrs.Read}
		if write {
			r.Direction = ibtrs.Write
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := attacker.Session().Do(ctx, r); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("no answer")
		}
		got := make([]byte, len(want))
		if _, err := conforming.ReadAt(got, 0); err != nil || string(got) != string(want) {
			t.Fatalf("the device of another session has changed, or is gone: %v", err)
		}
	})
}

// puppet answers every request with given bytes.
type puppet struct{ body []byte }

func (p *puppet) Connected(*ibtrs.ServerSession) (ibtrs.SessionHandler, error) { return p, nil }
func (p *puppet) Disconnected()                                                {}

func (p *puppet) Handle(r *ibtrs.ServerRequest) {
	if kind, err := ibnbd.MessageType(r.Header); err == nil && r.Direction == ibtrs.Read {
		clear(r.Data)
		copy(r.Data, p.body[min(len(p.body), int(kind)*28):]) // SESS_INFO has type 0, OPEN 2
	}
	r.Respond(0)
}

// FuzzClient answers a client with replies that a fuzzer has made: it must not panic, whatever device it is told of.
func FuzzClient(f *testing.F) {
	info, agreement := ibnbd.Answer(ibnbd.NewSessInfo(ibnbd.AllFeatures), ibnbd.AllFeatures)
	body, _ := info.AppendBinary(nil)
	body = append(body, make([]byte, 56-len(body))...)
	open := ibnbd.OpenResponse{Type: ibnbd.TypeOpenResponse, Capacity: 8, LogicalBlockSize: 512, MaxHWSectors: 8, MaxDiscardSectors: 8}
	agreement.Describe(&open, ibnbd.Traits{Cache: ibnbd.CacheWriteBack, WriteZeroesSectors: 8})
	body, _ = open.AppendBinary(body)
	f.Add(body)
	l := newLab(f)
	p := &puppet{}
	cfg := ibtrs.DefaultServerConfig()
	cfg.Devices, cfg.Handler = append(cfg.Devices, l.servers[0]), p
	cfg.Geometry = ibtrs.Geometry{QueueDepth: 4, MaxIOSize: 16384 - 4096, MaxHeaderSize: 4096}
	s, err := ibtrs.Listen(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, body []byte) {
		p.body = body
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := ibnbd.Connect(ctx, l.clientConfig("blya", 0))
		if err != nil {
			return
		}
		defer c.Close()
		d, err := c.Map(ctx, "ram0", ibnbd.ReadWrite, ibnbd.BlockIO)
		if err != nil {
			return
		}
		buffer := make([]byte, min(d.Size(), 4096))
		d.ReadAtContext(ctx, buffer, 0)
		d.WriteAtContext(ctx, buffer, 0, ibnbd.FlagFUA)
		d.Flush(ctx)
		for _, f := range []func(context.Context, int64, int64) error{d.Discard, d.SecureErase} {
			f(ctx, 0, min(d.Size(), 1<<16))
		}
		if ctx.Err() != nil {
			t.Fatal("the client hangs")
		}
	})
}
