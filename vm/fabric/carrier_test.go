// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/vm/fabric"
)

// lamp is a carrier that remembers how it was switched.
type lamp struct {
	mu   sync.Mutex
	down bool
	err  error
}

func (l *lamp) control(_ context.Context, up bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.down = !up
	}
	return l.err
}

func (l *lamp) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

func carriers(t *testing.T) (p *pair, a, b *lamp) {
	p, a, b = newPair(t), &lamp{}, &lamp{}
	for port, l := range map[*fabric.Port]*lamp{p.pa: a, p.pb: b} {
		if err := port.SetCarrierControl(t.Context(), l.control); err != nil {
			t.Fatal(err)
		}
	}
	return p, a, b
}

func TestCarrierLossAtBothEnds(t *testing.T) {
	p, a, b := carriers(t)
	h := p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{}})
	if !a.isDown() || !b.isDown() {
		t.Errorf("down: %v, %v", a.isDown(), b.isDown())
	}
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	if a.isDown() || b.isDown() {
		t.Errorf("down after the end: %v, %v", a.isDown(), b.isDown())
	}
}

func TestCarrierLossesAddUp(t *testing.T) {
	p, a, b := carriers(t)
	one := p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{Ports: []string{"alpha"}}})
	p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{}})
	if err := one.Remove(); err != nil {
		t.Fatal(err)
	}
	if !a.isDown() || !b.isDown() {
		t.Errorf("a second fault holds both down: %v, %v", a.isDown(), b.isDown())
	}
	if err := p.fabric.Reset(); err != nil {
		t.Fatal(err)
	}
	if a.isDown() || b.isDown() {
		t.Errorf("down after a reset: %v, %v", a.isDown(), b.isDown())
	}
}

func TestCarrierLossForATime(t *testing.T) {
	p, a, b := carriers(t)
	h := p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{}, For: 10 * time.Millisecond})
	select {
	case <-h.Done():
	case <-within(t, patience).Done():
		t.Fatal("it does not end")
	}
	if a.isDown() || b.isDown() {
		t.Errorf("down after its time: %v, %v", a.isDown(), b.isDown())
	}
}

func TestReplacedGuestFindsTheCarrierDown(t *testing.T) {
	p, _, _ := carriers(t)
	h := p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{}})
	fresh := &lamp{}
	if err := p.pa.SetCarrierControl(t.Context(), fresh.control); err != nil || !fresh.isDown() {
		t.Errorf("down is %v, error %v", fresh.isDown(), err)
	}
	if err := h.Remove(); err != nil || fresh.isDown() {
		t.Errorf("after the end, down is %v, error %v", fresh.isDown(), err)
	}
}

func TestCarrierThatFailsIsReported(t *testing.T) {
	p, a, b := carriers(t)
	broken := errors.New("no such link")
	b.err = broken
	if _, err := p.rail.Inject(fabric.Fault{Action: fabric.CarrierLoss{}}); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if a.isDown() {
		t.Error("the end that worked stayed down")
	}
	_, since := p.fabric.Events(0)
	h := p.inject(t, fabric.Fault{Action: fabric.CarrierLoss{}, After: time.Millisecond})
	waitEvent(t, p.fabric, since, fabric.Failed, "")
	<-h.Done()
	if err := h.Err(); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}
