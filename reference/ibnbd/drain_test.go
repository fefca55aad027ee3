// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibnbd/backend"
)

// held is a backend whose writes wait until they are let go.
type held struct {
	backend.Backend
	begun, release chan struct{}
	writing        atomic.Bool
	closedEarly    atomic.Bool
	closed         atomic.Bool
}

func (h *held) Properties() backend.Properties {
	p := h.Backend.Properties()
	p.Immediate = false
	return p
}

func (h *held) WriteAt(p []byte, offset int64, fua bool) error {
	h.writing.Store(true)
	defer h.writing.Store(false)
	close(h.begun)
	<-h.release
	return h.Backend.WriteAt(p, offset, fua)
}

func (h *held) Close() error {
	h.closedEarly.Store(h.writing.Load())
	h.closed.Store(true)
	return h.Backend.Close()
}

// TestCloseWaitsForIO closes a server while its disk writes: the write is done before the export is closed.
func TestCloseWaitsForIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		disk := &held{Backend: l.memory(deviceSize, 512), begun: make(chan struct{}), release: make(chan struct{})}
		cfg := l.serverConfig()
		cfg.Exports = []ibnbd.Export{{Path: "slow", Backend: disk}}
		server, err := ibnbd.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "slow", ibnbd.ReadWrite)
		written := make(chan error, 1)
		go func() {
			_, err := d.WriteAtContext(context.Background(), make([]byte, 512), 0, 0)
			written <- err
		}()
		<-disk.begun
		closed := make(chan error, 1)
		go func() { closed <- server.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close did not wait for the write: %v", err)
		default:
		}
		close(disk.release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if !disk.closed.Load() || disk.closedEarly.Load() {
			t.Errorf("the export was closed: %t, while it was written to: %t", disk.closed.Load(), disk.closedEarly.Load())
		}
		<-written // the client has lost its path before the answer
	})
}
