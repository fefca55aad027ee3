// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"sync"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// passive thins out what the passive judge finds. It looks at the packets of every spec, and nearly always finds the same:
// that a clause holds is worth recording once, for each side that the clause judges; that one is broken, each time.
type passive struct {
	mu   sync.Mutex
	held map[side]bool
}

// side is a clause and whom it was found to hold for.
type side struct {
	clause string
	role   clauses.Role
}

func newPassive() *passive { return &passive{held: make(map[side]bool)} }

// news are the results that are worth recording. It may be called by several goroutines.
func (p *passive) news(results []verdict.Result) []verdict.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fresh []verdict.Result
	for _, r := range results {
		at := side{r.Clause, r.Role}
		if r.Verdict == verdict.Pass && p.held[at] {
			continue
		}
		p.held[at] = p.held[at] || r.Verdict == verdict.Pass
		fresh = append(fresh, r)
	}
	return fresh
}
