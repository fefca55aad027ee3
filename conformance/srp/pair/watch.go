// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
)

// Watch follows the states of a port and of its disks, and puts every change on the timeline.
type Watch struct {
	pair *Pair
	port subject.Port

	mu     sync.Mutex
	seen   []Seen
	looked time.Time // when it was last seen how things are
	failed error     // of the looks since then
}

// Seen is what a watch saw from a moment on. It is late by at most a sample period.
type Seen struct {
	At time.Time
	subject.Look
}

// Watch begins to follow a port. It ends with the spec.
func (p *Pair) Watch(ctx context.Context, port subject.Port) *Watch {
	ginkgo.GinkgoHelper()
	w := &Watch{pair: p, port: port}
	p.Follow(ctx, kit.SamplePeriod, w.sample)
	return w
}

// sample looks once. What cannot be seen just now, because it is being taken down, stays as it was.
func (w *Watch) sample(ctx context.Context) {
	look, err := w.pair.Initiator.Look(ctx, w.port)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = err
	if err != nil {
		return
	}
	w.looked = now
	var last subject.Look
	if n := len(w.seen); n > 0 {
		last = w.seen[n-1].Look
	}
	if look.Port == last.Port && maps.Equal(look.Disks, last.Disks) {
		return
	}
	w.seen = append(w.seen, Seen{now, look})
	if look.Port != last.Port {
		w.pair.Happened(now, w.port.Name, "port is "+look.Port)
	}
	for _, d := range w.port.Disks {
		if state, is := look.Disks[d.Name]; !is {
			w.pair.Happened(now, d.Name, "disk is gone")
		} else if state != last.Disks[d.Name] {
			w.pair.Happened(now, d.Name, "disk is "+state)
		}
	}
}

// Now is what was seen last.
func (w *Watch) Now() Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

// Is says whether the port was last seen in a state, and all its disks in another.
func (w *Watch) Is(port, disks string) bool {
	now := w.Now()
	return now.Port == port && now.All(len(w.port.Disks), disks)
}

// After is what was seen first behind a moment of which something holds; the zero value if nothing was.
func (w *Watch) After(moment time.Time, so func(subject.Look) bool) Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.seen, func(s Seen) bool { return s.At.After(moment) && so(s.Look) })
	if i < 0 {
		return Seen{}
	}
	return w.seen[i]
}

// PortAfter is when the port was first seen in a state behind a moment; the zero time if it never was.
func (w *Watch) PortAfter(moment time.Time, state string) time.Time {
	return w.After(moment, func(l subject.Look) bool { return l.Port == state }).At
}

// lookedAfter says whether it was seen behind a moment how things are; if not, why.
func (w *Watch) lookedAfter(moment time.Time) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looked.After(moment), w.failed
}

// Keeps looks for a time whether the port that is watched stays, with its disks. It goes on until a look has succeeded behind that.
func (p *Pair) Keeps(ctx context.Context, w *Watch, so time.Duration) bool {
	ginkgo.GinkgoHelper()
	end := time.Now().Add(so)
	look := time.NewTicker(kit.SamplePeriod)
	defer look.Stop()
	for {
		if now := w.Now(); now.Port == subject.Gone || len(now.Disks) < len(w.port.Disks) {
			return false
		}
		looked, err := w.lookedAfter(end)
		if looked {
			return true
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			ginkgo.Fail(fmt.Sprintf("%v; the last look at %s: %v", context.Cause(ctx), w.port.Name, err))
		}
	}
}
