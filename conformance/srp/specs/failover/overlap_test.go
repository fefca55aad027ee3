// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit"
)

// TestOverlap has attempts of which each request is at a second: the number of its connection stands in its place.
func TestOverlap(t *testing.T) {
	const none = 0
	for name, tc := range map[string]struct {
		seconds  []uint32
		overlaps []time.Duration
		repeated bool
	}{
		"nothing":                        {nil, nil, false},
		"one after the other":            {[]uint32{1, 1, 1, 2, 2}, nil, true},
		"each asked for once":            {[]uint32{1, 2, 3}, nil, false},
		"one begins inside of another":   {[]uint32{1, none, 2, 1}, []time.Duration{2 * time.Second}, true},
		"two begin inside of another":    {[]uint32{1, 2, 3, 1, 2}, []time.Duration{time.Second, time.Second, 2 * time.Second}, true},
		"one that is not repeated later": {[]uint32{1, 1, 2, 3}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			var requests []kit.ConnectRequest
			for second, id := range tc.seconds {
				if id != none {
					requests = append(requests, kit.ConnectRequest{At: time.Unix(int64(second), 0), ID: id})
				}
			}
			if got := overlap(requests); !slices.Equal(got, tc.overlaps) {
				t.Errorf("overlap() = %v, want %v", got, tc.overlaps)
			}
			if got := repeated(requests); got != tc.repeated {
				t.Errorf("repeated() = %t, want %t", got, tc.repeated)
			}
		})
	}
}
