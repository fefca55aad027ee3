// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
)

// errNoPath ends a request that no path takes (Clause IBNBD-IO-019).
var errNoPath = fmt.Errorf("no connected path: %w", ECONNABORTED)

// errBuildGone is the refusal of a build that takes no requests any more.
var errBuildGone = errors.New("path is not connected")

// errGivenUp ends a request that nobody waits for any more, or that was revoked, instead of sending it.
var errGivenUp = fmt.Errorf("request was given up: %w", ECONNABORTED)

// dispatch sends the request in sl on the path that the policy prefers, or on the next best if that one refuses; each
// path is tried at most once. from is the build that has its bytes, nil if the request is new and has them itself.
func (s *Session) dispatch(sl *slot, from *build) error {
	paths := *s.paths.Load()
	if s.cfg.Rules.FirstPathOnly {
		paths = paths[:min(1, len(paths))]
	}
	var tried pathSet
	for range paths {
		i := s.choose(paths, &tried)
		if i < 0 {
			break
		}
		tried.set(i)
		err := errBuildGone
		if b := paths[i].current.Load(); b != nil {
			err = b.send(sl, from)
		}
		if err == nil {
			return nil
		}
		paths[i].inflight.Add(-1)
		if errors.Is(err, EMSGSIZE) || errors.Is(err, errGivenUp) {
			return err
		}
	}
	return errNoPath
}

// choose gives the index of the path to try next, -1 if there is none. The request counts as outstanding there from then on:
// who chooses at the same moment takes it into account, however long it is until it has been sent.
func (s *Session) choose(paths []*Path, tried *pathSet) int {
	for {
		var i int
		var taken bool
		if policy := s.Policy(); policy == RoundRobin {
			i, taken = s.takeNext(paths, tried)
		} else {
			i, taken = takeCheapest(policy, paths, tried)
		}
		if taken {
			return i
		}
	}
}

// takeNext takes the next path in list order. It is not taken if somebody else was faster.
func (s *Session) takeNext(paths []*Path, tried *pathSet) (i int, taken bool) {
	position := s.position.Load()
	for k := range paths {
		i := (int(position) + k) % len(paths)
		if tried.has(i) || paths[i].current.Load() == nil {
			continue
		}
		if !s.position.CompareAndSwap(position, uint32(i+1)) {
			return i, false
		}
		paths[i].inflight.Add(1)
		return i, true
	}
	return -1, true
}

// takeCheapest takes the path that costs least, the first of several. With min-inflight it is not taken if it costs something
// else by then.
func takeCheapest(policy Policy, paths []*Path, tried *pathSet) (i int, taken bool) {
	best, least := -1, int64(0)
	for i, p := range paths {
		if tried.has(i) || p.current.Load() == nil {
			continue
		}
		if cost := policy.cost(p); best < 0 || cost < least {
			best, least = i, cost
		}
	}
	switch {
	case best < 0:
		return -1, true
	case policy == MinInflight:
		return best, paths[best].inflight.CompareAndSwap(least, least+1)
	}
	paths[best].inflight.Add(1)
	return best, true
}

// pathSet is a set of path indexes, of which there are at most MaxPaths.
type pathSet [2]uint64

func (u *pathSet) set(i int)      { u[i/64] |= 1 << (i % 64) }
func (u *pathSet) has(i int) bool { return u[i/64]>>(i%64)&1 == 1 }
