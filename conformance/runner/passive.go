// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"slices"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// passive thins out what the passive judge finds. It looks at the packets of every spec, and nearly always finds the same:
// that a clause holds is worth recording once, for each side that the clause judges; that one is broken, each time; that a
// recording has gaps, only if no other recording decides.
type passive struct {
	mu      sync.Mutex
	held    map[side]bool
	decided map[side]bool
	open    map[side]verdict.Result // the first doubt
}

// side is a clause and whom it was found to hold for.
type side struct {
	clause string
	role   clauses.Role
}

func newPassive() *passive {
	return &passive{held: make(map[side]bool), decided: make(map[side]bool), open: make(map[side]verdict.Result)}
}

// news are the results that are worth recording. It may be called by several goroutines.
func (p *passive) news(results []verdict.Result) []verdict.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fresh []verdict.Result
	for _, r := range results {
		at := side{r.Clause, r.Role}
		if r.Verdict == verdict.Inconclusive {
			if _, known := p.open[at]; !known {
				p.open[at] = r
			}
			continue
		}
		p.decided[at] = true
		if r.Verdict == verdict.Pass && p.held[at] {
			continue
		}
		p.held[at] = p.held[at] || r.Verdict == verdict.Pass
		fresh = append(fresh, r)
	}
	return fresh
}

// doubts are what no recording has decided, in order of their clauses. It ends the thinning out.
func (p *passive) doubts() []verdict.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []verdict.Result
	for at, r := range p.open {
		if !p.decided[at] {
			left = append(left, r)
		}
	}
	slices.SortFunc(left, func(a, b verdict.Result) int {
		return cmp.Or(cmp.Compare(a.Clause, b.Clause), cmp.Compare(a.Role, b.Role))
	})
	return left
}
