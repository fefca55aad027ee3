// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"slices"
	"time"
)

// Spec is one thing that can be tried on a target, or on an initiator.
type Spec struct {
	Name      string        // that of the same thing in the lab, if it is there
	Clauses   []string      // that it decides
	Survival  string        // the one of them that says whether the subject lives on; "" where that is no question
	KernelLog string        // the one of them that holds only if the kernel of the subject does not complain; "" for none
	Takes     time.Duration // about so long, on a subject that behaves
	Addresses int           // of the target that it needs; for an initiator, own addresses
	Depth     int           // queue depth that the target must have; 0: any
	Does      Effect        // to the data
	MayEnd    bool          // the service, or the machine of the initiator, may end
	Needs     Action        // of the hook; "" for none

	// One of these runs it. The meaning of its error is that of package finding.
	OnTarget    func(ctx context.Context, r *TargetRun) error
	OnInitiator func(ctx context.Context, r *InitiatorRun) error
}

// harmlessFirst puts those that may end the subject behind the others.
func harmlessFirst(specs []Spec) []Spec {
	specs = slices.Clone(specs)
	slices.SortStableFunc(specs, func(a, b Spec) int {
		switch {
		case a.MayEnd == b.MayEnd:
			return 0
		case b.MayEnd:
			return -1
		}
		return 1
	})
	return specs
}
