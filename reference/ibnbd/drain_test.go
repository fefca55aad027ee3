// SPDX-License-Identifier: Apache-2.0

package ibnbd_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
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

// heldWrite is a server whose disk is just writing.
type heldWrite struct {
	server  *ibnbd.Server
	disk    *held
	written chan error // how the write ended for the client
}

func newHeldWrite(t *testing.T) *heldWrite {
	t.Helper()
	l := newLab(t)
	disk := &held{Backend: l.memory(deviceSize, 512), begun: make(chan struct{}), release: make(chan struct{})}
	cfg := l.serverConfig()
	cfg.Exports = []ibnbd.Export{{Path: "slow", Backend: disk}}
	h := &heldWrite{server: l.listen(cfg), disk: disk, written: make(chan error, 1)}
	d := l.mapDevice(l.connect(l.clientConfig("blya", 0)), "slow", ibnbd.ReadWrite)
	go func() {
		_, err := d.WriteAtContext(context.Background(), make([]byte, 512), 0, 0)
		h.written <- err
	}()
	<-disk.begun
	return h
}

// TestDrainAnswersIO ends a server in good order while its disk writes: the client is told that the write is done.
func TestDrainAnswersIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldWrite(t)
		drained := make(chan error, 1)
		go func() { drained <- h.server.Drain(context.Background()) }()
		synctest.Wait()
		close(h.disk.release)
		for what, err := range map[string]error{"Drain": <-drained, "the write": <-h.written, "Close": h.server.Close()} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestCloseWaitsForIO closes a server while its disk writes: the write is done before the export is closed.
func TestCloseWaitsForIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldWrite(t)
		closed := make(chan error, 1)
		go func() { closed <- h.server.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close did not wait for the write: %v", err)
		default:
		}
		close(h.disk.release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if disk := h.disk; !disk.closed.Load() || disk.closedEarly.Load() {
			t.Errorf("the export was closed: %t, while it was written to: %t", disk.closed.Load(), disk.closedEarly.Load())
		}
		<-h.written // the client has lost its path before the answer
	})
}
