// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
)

// errNoPath ends a request that no path takes (Clause IBTRS-MP-008).
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
		b := paths[i].current.Load()
		if b == nil {
			continue
		}
		err := b.send(sl, from)
		if err == nil || errors.Is(err, EMSGSIZE) || errors.Is(err, errGivenUp) {
			return err
		}
	}
	return errNoPath
}

// choose gives the index of the path to try next, -1 if there is none.
func (s *Session) choose(paths []*Path, tried *pathSet) int {
	policy := s.Policy()
	if policy == RoundRobin {
		start := int(s.position.Load())
		for i := range paths {
			if at := (start + i) % len(paths); !tried.has(at) && paths[at].current.Load() != nil {
				s.position.Store(uint32(at + 1))
				return at
			}
		}
		return -1
	}
	best := -1
	for i, p := range paths {
		if tried.has(i) || p.current.Load() == nil {
			continue
		}
		if best < 0 || policy.better(p, paths[best]) {
			best = i
		}
	}
	return best
}

// pathSet is a set of path indexes, of which there are at most MaxPaths.
type pathSet [2]uint64

func (u *pathSet) set(i int)      { u[i/64] |= 1 << (i % 64) }
func (u *pathSet) has(i int) bool { return u[i/64]>>(i%64)&1 == 1 }
