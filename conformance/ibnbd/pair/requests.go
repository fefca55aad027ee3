// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"sync"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
)

// CountIO counts the reads and writes of a session that each rail carries, by their packets and from now on, until the spec ends.
// It is to be called before the session is opened: of a connection that it has not seen begin it knows nothing.
func (p *Pair) CountIO(session string) (count func() []int) {
	var mu sync.Mutex
	rails := make(map[string]int)
	p.WatchPackets().Observe(func(event *audit.Event) {
		e := judge.Of(event)
		if e == nil || e.Kind != judge.RequestSent || e.Request == nil || !e.Request.HasIO || e.Session == nil || e.Session.Name != session {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		rails[e.Request.Frames[1].Rail]++
	})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		all := make([]int, len(p.Lab.Rails()))
		for i, rail := range p.Lab.Rails() {
			all[i] = rails[rail.Name()]
		}
		return all
	}
}
