// SPDX-License-Identifier: Apache-2.0

package live

import (
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Watcher tracks what happens on rails while it happens. It may be used by several goroutines.
type Watcher struct {
	mu      sync.Mutex // guards all below, and every predicate of the watcher
	tracker *audit.Tracker
	chosen  []*predicate
	rail    string // of the frame that is being tracked
	number  uint64
}

// NewWatcher makes a watcher of no rail.
func NewWatcher(options audit.Options) *Watcher {
	w := &Watcher{tracker: audit.NewTracker(options)}
	w.tracker.Observe(w.observe)
	return w
}

// Attach makes the watcher see the frames of a rail, from now on until remove is called. Attach before the connections
// that matter are made: of those made before, nothing is known.
func (w *Watcher) Attach(rail *fabric.Rail) (remove func()) { return rail.Hook(w.See) }

// See tracks one frame before any predicate is asked about it. It is what [Watcher.Attach] hooks into a rail.
func (w *Watcher) See(f *fabric.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rail, w.number = f.Rail, f.Number
	at := f.At
	if at.IsZero() {
		at = time.Now()
	}
	w.tracker.Add(audit.Frame{
		FrameID: audit.FrameID{Rail: f.Rail, Number: f.Number}, At: at, Data: f.Data, OrigLen: len(f.Data), Link: audit.Ethernet,
	})
}

// Observe adds an observer of the tracker's events. It runs on the forwarding path of the rail, so it must be quick, and
// must not call the watcher or the fabric.
func (w *Watcher) Observe(see func(*audit.Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tracker.Observe(see)
}

// Counters returns what the tracker counted so far.
func (w *Watcher) Counters() audit.Counters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tracker.Counters()
}

// On makes a predicate that matches the frames which complete an event that every filter lets through. name says in
// evidence what was chosen.
func (w *Watcher) On(name string, filters ...Filter) fabric.Predicate {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &predicate{watcher: w, name: name, filter: All(filters...)}
	w.chosen = append(w.chosen, p)
	return p
}

// observe lets every predicate look at an event; w.mu is held.
func (w *Watcher) observe(e *audit.Event) {
	for _, p := range w.chosen {
		if p.filter(e) {
			p.rail, p.number = w.rail, w.number
		}
	}
}

// predicate remembers the last frame whose event was chosen.
type predicate struct {
	watcher *Watcher
	name    string
	filter  Filter
	rail    string
	number  uint64
}

// Match reports whether the frame completed a chosen event. The copies of a flooded frame all match.
func (p *predicate) Match(f *fabric.Frame) bool {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	return p.number != 0 && p.number == f.Number && p.rail == f.Rail
}

// String is the name of the choice.
func (p *predicate) String() string { return p.name }
