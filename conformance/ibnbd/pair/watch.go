// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// watchPeriod is how often a watch looks. Its times are late by at most so much; each look costs the guest some milliseconds.
const watchPeriod = 2 * kit.SamplePeriod

// Watch follows the state of a device and of the paths of its session, and puts every change on the timeline.
type Watch struct {
	pair   *Pair
	device subject.Device

	mu      sync.Mutex
	state   string // of the device
	changed time.Time
	paths   map[subject.PathAddr][]change
}

// change is a path's becoming connected or not.
type change struct {
	at        time.Time
	connected bool
}

// Watch begins to follow a device. It ends with the spec.
func (p *Pair) Watch(ctx context.Context, d subject.Device) *Watch {
	ginkgo.GinkgoHelper()
	w := &Watch{pair: p, device: d, paths: make(map[subject.PathAddr][]change)}
	p.Follow(ctx, watchPeriod, w.sample)
	return w
}

// sample looks once. What cannot be seen just now, because the path is being taken down, stays as it was.
func (w *Watch) sample(ctx context.Context) {
	state, paths, err := w.pair.Initiator.Look(ctx, w.device)
	if err != nil {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if state = cmp.Or(state, Gone); state != w.state {
		w.state, w.changed = state, now
		w.pair.Happened(now, w.device.Disk, "device is "+state)
	}
	for _, path := range paths {
		w.note(now, path)
	}
}

func (w *Watch) note(now time.Time, path subject.PathStatus) {
	history := w.paths[path.PathAddr]
	if len(history) > 0 && history[len(history)-1].connected == path.Connected {
		return
	}
	w.paths[path.PathAddr] = append(history, change{now, path.Connected})
	word := "disconnected"
	if path.Connected {
		word = "connected"
	}
	w.pair.Happened(now, path.String(), "path is "+word)
}

// Gone is the state of a device that does not exist any more.
const Gone = "gone"

// State is the state of the device as last seen.
func (w *Watch) State() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Since is when the device was seen to come into its state.
func (w *Watch) Since() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Connected says whether a path was last seen connected.
func (w *Watch) Connected(p subject.PathAddr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	history := w.paths[p]
	return len(history) > 0 && history[len(history)-1].connected
}

// AllConnected says whether every path was last seen connected.
func (w *Watch) AllConnected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, history := range w.paths {
		if !history[len(history)-1].connected {
			return false
		}
	}
	return len(w.paths) > 0
}

// WholeSince is when the last of the paths was seen to become connected; the zero time while one of them is not.
func (w *Watch) WholeSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var since time.Time
	for _, history := range w.paths {
		last := history[len(history)-1]
		if !last.connected {
			return time.Time{}
		}
		if last.at.After(since) {
			since = last.at
		}
	}
	return since
}

// NoneConnected says whether every one of some paths was last seen disconnected.
func (w *Watch) NoneConnected(paths []subject.PathAddr) bool {
	return !slices.ContainsFunc(paths, w.Connected)
}

// LostAfter is how long after a moment a path was first seen disconnected; zero if it never was.
func (w *Watch) LostAfter(p subject.PathAddr, moment time.Time) time.Duration {
	return w.firstAfter(p, moment, false)
}

// BackAfter is how long after a moment a path was first seen connected, having been disconnected before; zero if never.
func (w *Watch) BackAfter(p subject.PathAddr, moment time.Time) time.Duration {
	return w.firstAfter(p, moment, true)
}

func (w *Watch) firstAfter(p subject.PathAddr, moment time.Time, connected bool) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	history := w.paths[p]
	i := slices.IndexFunc(history, func(c change) bool { return c.at.After(moment) && c.connected == connected })
	if i < 0 {
		return 0
	}
	return history[i].at.Sub(moment)
}
