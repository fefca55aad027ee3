// SPDX-License-Identifier: Apache-2.0

// Package figures is how the programs show counters that both have.
package figures

import "github.com/ibnbd/ibnbd/reference/ibnbd"

// Failed are numbers of requests that failed.
type Failed struct {
	Reads   uint64 `json:"reads"`
	Writes  uint64 `json:"writes"`
	Others  uint64 `json:"others"`
	GivenUp uint64 `json:"given_up"` // whose callers did not wait for the end
}

// NewFailed takes them over.
func NewFailed(f ibnbd.IOFailures) *Failed { return &Failed{f.Reads, f.Writes, f.Others, f.GivenUp} }
