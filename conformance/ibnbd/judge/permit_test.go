// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"testing"
)

func TestFreePermitBelow(t *testing.T) {
	taken, orphaned := &Request{}, &Request{orphaned: true}
	for name, c := range map[string]struct {
		permits []*Request
		permit  uint32
		want    bool
	}{
		"the first":              {[]*Request{taken}, 0, false},
		"all below are taken":    {[]*Request{taken, taken, taken}, 2, false},
		"one below is free":      {[]*Request{nil, taken}, 1, true},
		"one below was not seen": {nil, 1, true},
		"one below went down with its path, as did many above": {[]*Request{orphaned, taken, orphaned, orphaned}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{permits: c.permits, outstanding: len(c.permits)}
			if got := s.hasFreePermitBelow(c.permit); got != c.want {
				t.Errorf("hasFreePermitBelow(%d) = %v, want %v", c.permit, got, c.want)
			}
		})
	}
}
